package questline.peers;

import java.time.Duration;
import java.util.HashSet;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The job on Kafka Streams, exactly once. Settings come as system properties, see {@code scripts/bench}. */
public final class StreamsPeer {
    private StreamsPeer() {}

    public static void main(String[] arguments) throws Exception {
        String events = System.getProperty("events", "events");
        String completions = System.getProperty("completions");
        String activity = System.getProperty("activity");

        Serde<String> text = Serdes.String();
        Serde<byte[]> bytes = Serdes.ByteArray();
        Topology topology = new Topology();
        topology.addSource("events", text.deserializer(), bytes.deserializer(), events);
        topology.addProcessor("job", JobProcessor::new, "events");
        // What is there already is not written again, so a cache would only cost.
        topology.addStateStore(Stores.keyValueStoreBuilder(store("seen"), text, bytes), "job");
        topology.addStateStore(Stores.keyValueStoreBuilder(store("rows"), text, bytes).withCachingEnabled(), "job");
        topology.addStateStore(Stores.keyValueStoreBuilder(store("progress"), text, Serdes.Long()).withCachingEnabled(), "job");
        topology.addSink("completions", completions, text.serializer(), bytes.serializer(), "job");
        topology.addSink("activity", activity, text.serializer(), bytes.serializer(), "job");

        KafkaStreams streams = new KafkaStreams(topology, settings());
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.start();
    }

    private static KeyValueBytesStoreSupplier store(String name) {
        boolean inMemory = System.getProperty("stores", "memory").equals("memory");
        return inMemory ? Stores.inMemoryKeyValueStore(name) : Stores.persistentKeyValueStore(name);
    }

    private static Properties settings() {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, System.getProperty("name"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getProperty("brokers"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("state"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, Integer.getInteger("commit", 100));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Integer.getInteger("threads", 1));
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L << 20);
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 20_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 8 << 20);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128L << 20);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        return settings;
    }

    /** One partition's share of the job. */
    private static final class JobProcessor implements Processor<String, byte[], String, byte[]>, Job.State {
        private static final byte[] SEEN = {1};

        private final Play play = new Play();
        private final Set<String> unreported = new HashSet<>();
        private ProcessorContext<String, byte[]> context;
        private KeyValueStore<String, byte[]> seen;
        private KeyValueStore<String, byte[]> rows;
        private KeyValueStore<String, Long> progress;
        private long timestamp;

        @Override
        public void init(ProcessorContext<String, byte[]> context) {
            this.context = context;
            seen = context.getStateStore("seen");
            rows = context.getStateStore("rows");
            progress = context.getStateStore("progress");
            // Which rows were not reported yet is not kept: after a restart all are reported again.
            try (KeyValueIterator<String, byte[]> all = rows.all()) {
                all.forEachRemaining(row -> unreported.add(row.key));
            }
            Duration interval = Duration.ofMillis(Integer.getInteger("reporting", 10_000));
            context.schedule(interval, PunctuationType.WALL_CLOCK_TIME, this::report);
        }

        @Override
        public void process(Record<String, byte[]> record) {
            timestamp = record.timestamp();
            if (record.value() == null || !play.read(record.value())) {
                return;
            }
            try {
                Job.apply(play, this);
            } catch (RuntimeException failed) {
                throw failed;
            } catch (Exception failed) {
                throw new IllegalStateException(failed);
            }
        }

        private void report(long now) {
            for (String key : unreported) {
                context.forward(new Record<>(key, Job.reported(key, rows.get(key)), now), "activity");
            }
            unreported.clear();
        }

        @Override
        public boolean isNew(String identity) {
            return seen.putIfAbsent(play.player + '|' + identity, SEEN) == null;
        }

        @Override
        public byte[] row(String key) {
            return rows.get(key);
        }

        @Override
        public void putRow(String key, byte[] row) {
            rows.put(key, row);
            unreported.add(key);
        }

        @Override
        public Long progress(String window) {
            return progress.get(play.player + '|' + window);
        }

        @Override
        public void putProgress(String window, long value) {
            progress.put(play.player + '|' + window, value);
        }

        @Override
        public void complete(String player, byte[] completion) {
            context.forward(new Record<>(player, completion, timestamp), "completions");
        }
    }
}
