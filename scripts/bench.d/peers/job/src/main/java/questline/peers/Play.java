package questline.peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.math.BigDecimal;

/** The fields of an event that the job needs; what is absent is null. Reused from event to event. */
public final class Play {
    private static final JsonFactory JSON = new JsonFactory();

    public String player;
    public String name;
    public String transaction;
    public String event;
    public String timestamp;
    public String currency;
    public String gameType;
    public String gameId;
    /** In ten-thousandths; what has more digits is no event of this job. */
    public long amount;

    /** Reads a payload; false for what is no event, which Questline would put among its dead letters. */
    public boolean read(byte[] payload) {
        player = name = transaction = event = timestamp = currency = gameType = gameId = null;
        amount = 0;
        try (JsonParser parser = JSON.createParser(payload)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                return false;
            }
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String field = parser.currentName();
                parser.nextToken();
                take(field, parser);
            }
            return player != null && name != null && timestamp != null && timestamp.length() > 10;
        } catch (IOException | ArithmeticException | NumberFormatException malformed) {
            return false;
        }
    }

    private void take(String field, JsonParser parser) throws IOException {
        switch (field) {
            case "player_id" -> player = parser.getValueAsString();
            case "event_name" -> name = parser.getText();
            case "transaction_id" -> transaction = parser.getText();
            case "event_id" -> event = parser.getText();
            case "timestamp" -> timestamp = parser.getText();
            case "currency" -> currency = parser.getText();
            case "game_type" -> gameType = parser.getText();
            case "game_id" -> gameId = parser.getText();
            case "bet_amount", "win_amount", "amount" ->
                    amount = new BigDecimal(parser.getText()).movePointRight(4).longValueExact();
            default -> parser.skipChildren();
        }
    }

    public boolean isBet() {
        return name.equals("bet_placed");
    }

    public boolean isWin() {
        return name.equals("win");
    }

    /** What a second record of the same transaction has too. */
    public String identity() {
        return name + '|' + (transaction != null ? transaction : event);
    }

    /** The day in UTC, in which generated play writes its timestamps. */
    public String date() {
        return timestamp.substring(0, 10);
    }
}
