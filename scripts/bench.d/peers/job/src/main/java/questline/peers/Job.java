package questline.peers;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * The job that each engine is given: a part of Questline's own. Every transaction counts once; a row for each day,
 * player, game type and currency; two missions. Left out, in the engines' favour: reversals, late events, dead letters,
 * the other missions, definitions that change, and all history in Parquet.
 */
public final class Job {
    /** In ten-thousandths of a euro. */
    private static final long TARGET = 50_0000;

    private Job() {}

    /** What an engine keeps of the player whose event it is. */
    public interface State {
        /** True the first time. */
        boolean isNew(String identity) throws Exception;

        /** The row, or null. */
        byte[] row(String key) throws Exception;

        /** Keeps the row, which is to be reported within the reporting interval. */
        void putRow(String key, byte[] row) throws Exception;

        /** The progress in a mission's window, or null. */
        Long progress(String window) throws Exception;

        void putProgress(String window, long progress) throws Exception;

        /** Puts out a completion. */
        void complete(String player, byte[] completion) throws Exception;
    }

    public static void apply(Play play, State state) throws Exception {
        if (!state.isNew(play.identity())) {
            return;
        }
        if (play.isBet() || play.isWin()) {
            post(play, state);
        }
        if (play.isBet()) {
            if ("slots".equals(play.gameType) && "EUR".equals(play.currency)) {
                count(play, "slots-daily-50|" + play.date(), play.amount, TARGET, state);
            }
            if ("latency_probe".equals(play.gameId)) {
                count(play, "latency-probe|" + play.date(), 1, 1, state);
            }
        }
    }

    private static void post(Play play, State state) throws Exception {
        String key = play.date() + '|' + play.player + '|' + play.gameType + '|' + play.currency;
        byte[] before = state.row(key);
        ByteBuffer row = ByteBuffer.allocate(24);
        if (before != null) {
            row.put(before).rewind();
        }
        if (play.isBet()) {
            row.putLong(0, row.getLong(0) + 1);
            row.putLong(8, row.getLong(8) + play.amount);
        } else {
            row.putLong(16, row.getLong(16) + play.amount);
        }
        state.putRow(key, row.array());
    }

    private static void count(Play play, String window, long by, long target, State state) throws Exception {
        Long before = state.progress(window);
        long progress = (before == null ? 0 : before) + by;
        state.putProgress(window, progress);
        if (progress >= target && (before == null || before < target)) {
            state.complete(play.player, completion(play, window, progress));
        }
    }

    private static byte[] completion(Play play, String window, long progress) {
        String text = "{\"type\":\"mission_completed\",\"player_id\":\"" + play.player + "\",\"window\":\"" + window
                + "\",\"completed_at\":\"" + play.timestamp + "\",\"progress\":" + progress + "}";
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** A row as the activity topic has it; amounts in ten-thousandths. */
    public static byte[] reported(String key, byte[] row) {
        ByteBuffer numbers = ByteBuffer.wrap(row);
        String[] parts = key.split("\\|", 4);
        long bets = numbers.getLong(8);
        long wins = numbers.getLong(16);
        String text = "{\"date\":\"" + parts[0] + "\",\"customer_id\":\"" + parts[1] + "\",\"game_type\":\"" + parts[2]
                + "\",\"currency\":\"" + parts[3] + "\",\"bets_count\":" + numbers.getLong(0) + ",\"total_bets\":" + bets
                + ",\"wins\":" + wins + ",\"ggr\":" + (bets - wins) + "}";
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
