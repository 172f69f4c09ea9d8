package questline.peers;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.typeutils.TupleTypeInfo;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/** The job on Flink, exactly once. Settings come as system properties, see {@code scripts/bench}. */
public final class FlinkPeer {
    /** A record's key and value. */
    private static final TypeInformation<Tuple2<String, byte[]>> RECORD =
            new TupleTypeInfo<>(Types.STRING, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);

    private static final OutputTag<Tuple2<String, byte[]>> ACTIVITY = new OutputTag<>("activity", RECORD);

    private FlinkPeer() {}

    public static void main(String[] arguments) throws Exception {
        StreamExecutionEnvironment flink = StreamExecutionEnvironment.getExecutionEnvironment(settings());
        flink.setParallelism(Integer.getInteger("threads", 1));
        flink.enableCheckpointing(Long.getLong("checkpoint", 1_000), CheckpointingMode.EXACTLY_ONCE);
        KafkaSource<Tuple2<String, byte[]>> source = KafkaSource.<Tuple2<String, byte[]>>builder()
                .setBootstrapServers(System.getProperty("brokers"))
                .setTopics(System.getProperty("events", "events"))
                .setGroupId(System.getProperty("name"))
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setDeserializer(new Records())
                .setProperty("max.poll.records", "10000")
                .setProperty("max.partition.fetch.bytes", String.valueOf(8 << 20))
                .build();
        SingleOutputStreamOperator<Tuple2<String, byte[]>> completions = flink
                .fromSource(source, WatermarkStrategy.noWatermarks(), "events")
                .keyBy(record -> record.f0, Types.STRING)
                .process(new JobFunction())
                .returns(RECORD);
        sink(completions, "completions");
        sink(completions.getSideOutput(ACTIVITY), "activity");
        flink.execute(System.getProperty("name"));
    }

    private static Configuration settings() {
        Configuration settings = new Configuration();
        settings.set(StateBackendOptions.STATE_BACKEND, System.getProperty("stores", "hashmap"));
        settings.set(CheckpointingOptions.INCREMENTAL_CHECKPOINTS, true);
        settings.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
        settings.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, "file://" + System.getProperty("state"));
        settings.set(PipelineOptions.OBJECT_REUSE, true);
        settings.set(TaskManagerOptions.NUM_TASK_SLOTS, Integer.getInteger("threads", 1));
        return settings;
    }

    private static void sink(DataStream<Tuple2<String, byte[]>> records, String output) {
        Properties producer = new Properties();
        producer.put("transaction.timeout.ms", "600000");
        producer.put("batch.size", String.valueOf(256 << 10));
        producer.put("compression.type", "lz4");
        records.sinkTo(KafkaSink.<Tuple2<String, byte[]>>builder()
                        .setBootstrapServers(System.getProperty("brokers"))
                        .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                        .setTransactionalIdPrefix(System.getProperty("name") + '-' + output)
                        .setKafkaProducerConfig(producer)
                        .setRecordSerializer(new Produced(System.getProperty(output)))
                        .build())
                .name(output);
    }

    /** Key and value as they are. A record without them is no event. */
    private static final class Records implements KafkaRecordDeserializationSchema<Tuple2<String, byte[]>> {
        private static final long serialVersionUID = 1L;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple2<String, byte[]>> out) {
            if (record.key() != null && record.value() != null) {
                out.collect(Tuple2.of(new String(record.key(), StandardCharsets.UTF_8), record.value()));
            }
        }

        @Override
        public TypeInformation<Tuple2<String, byte[]>> getProducedType() {
            return RECORD;
        }
    }

    /** A record of a topic. */
    private static final class Produced implements KafkaRecordSerializationSchema<Tuple2<String, byte[]>> {
        private static final long serialVersionUID = 1L;

        private final String topic;

        private Produced(String topic) {
            this.topic = topic;
        }

        @Override
        public ProducerRecord<byte[], byte[]> serialize(
                Tuple2<String, byte[]> record, KafkaSinkContext context, Long timestamp) {
            return new ProducerRecord<>(topic, record.f0.getBytes(StandardCharsets.UTF_8), record.f1);
        }
    }

    /** A player's share of the job. */
    private static final class JobFunction
            extends KeyedProcessFunction<String, Tuple2<String, byte[]>, Tuple2<String, byte[]>> implements Job.State {
        private static final long serialVersionUID = 1L;

        private transient Play play;
        private transient MapState<String, Boolean> seen;
        private transient MapState<String, byte[]> rows;
        private transient MapState<String, Boolean> unreported;
        private transient MapState<String, Long> progress;
        private transient ValueState<Boolean> hasTimer;
        private transient Context context;
        private transient Collector<Tuple2<String, byte[]>> out;
        private transient long reporting;

        @Override
        public void open(OpenContext opened) {
            play = new Play();
            reporting = Duration.ofMillis(Integer.getInteger("reporting", 10_000)).toMillis();
            seen = getRuntimeContext().getMapState(new MapStateDescriptor<>("seen", Types.STRING, Types.BOOLEAN));
            rows = getRuntimeContext().getMapState(new MapStateDescriptor<>(
                    "rows", Types.STRING, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO));
            unreported = getRuntimeContext().getMapState(new MapStateDescriptor<>("unreported", Types.STRING, Types.BOOLEAN));
            progress = getRuntimeContext().getMapState(new MapStateDescriptor<>("progress", Types.STRING, Types.LONG));
            hasTimer = getRuntimeContext().getState(new ValueStateDescriptor<>("hasTimer", Types.BOOLEAN));
        }

        @Override
        public void processElement(Tuple2<String, byte[]> record, Context context, Collector<Tuple2<String, byte[]>> out)
                throws Exception {
            this.context = context;
            this.out = out;
            if (play.read(record.f1)) {
                Job.apply(play, this);
            }
        }

        @Override
        public void onTimer(long time, OnTimerContext context, Collector<Tuple2<String, byte[]>> out) throws Exception {
            for (String key : unreported.keys()) {
                context.output(ACTIVITY, Tuple2.of(key, Job.reported(key, rows.get(key))));
            }
            unreported.clear();
            hasTimer.clear();
        }

        @Override
        public boolean isNew(String identity) throws Exception {
            if (seen.contains(identity)) {
                return false;
            }
            seen.put(identity, true);
            return true;
        }

        @Override
        public byte[] row(String key) throws Exception {
            return rows.get(key);
        }

        @Override
        public void putRow(String key, byte[] row) throws Exception {
            rows.put(key, row);
            unreported.put(key, true);
            if (hasTimer.value() == null) {
                hasTimer.update(true);
                long now = context.timerService().currentProcessingTime();
                context.timerService().registerProcessingTimeTimer(now / reporting * reporting + reporting);
            }
        }

        @Override
        public Long progress(String window) throws Exception {
            return progress.get(window);
        }

        @Override
        public void putProgress(String window, long value) throws Exception {
            progress.put(window, value);
        }

        @Override
        public void complete(String player, byte[] completion) {
            out.collect(Tuple2.of(player, completion));
        }
    }
}
