//! Every setting with its default (INTERFACE, "Configuration").

use std::net::SocketAddr;
use std::path::PathBuf;

use datasets::mapping::MappingConfig;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::entities::EntitiesConfig;
use super::ngr::NgrConfig;
use super::values::{Duration, Properties, Secret, Threshold, Zone};

/// The whole configuration of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the pipeline is called and how it runs.
    pub pipeline: PipelineConfig,
    /// The brokers. Absent for `replay` and `demo`.
    pub kafka: Option<KafkaConfig>,
    /// Where events come from. Without any: one source `events` on the topic `events`.
    #[serde(rename = "source")]
    pub sources: Vec<SourceConfig>,
    /// Where mission definitions come from.
    pub missions: MissionsConfig,
    /// What events and definitions may leave out.
    pub defaults: DefaultsConfig,
    /// What can be reversed.
    pub ledger: LedgerConfig,
    /// What is a duplicate.
    pub identity: IdentityConfig,
    /// Daily gaming activity.
    pub activity: ActivityConfig,
    /// Parquet on object storage. Absent: none is written.
    pub lake: Option<LakeConfig>,
    /// The state, for quick starts.
    pub checkpoint: CheckpointConfig,
    /// Refused inputs.
    pub dead_letters: DeadLettersConfig,
    /// Bounds on what is in flight.
    pub limits: LimitsConfig,
    /// Points that players earn and spend.
    pub points: PointsConfig,
    /// Figures of a running pipeline.
    pub metrics: MetricsConfig,
    /// Loyalty tiers, from the lowest to the highest.
    #[serde(rename = "tier")]
    pub tiers: Vec<TierConfig>,
    /// An operator's feed: transactions, customers, and gaming activity in 15 digits. Absent: there is none.
    pub entities: Option<EntitiesConfig>,
}

/// `[pipeline]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipelineConfig {
    /// Part of every completion's id and of the transactional ids: two pipelines on one broker need two
    /// names, and one pipeline keeps its name for ever. Default `questline`; required with `[kafka]`.
    pub name: String,
    /// Worker threads of each process; `--workers` wins. Default 1.
    pub workers: usize,
    /// How often changed rows of activity are reported. Absent: 10 s in a run, every epoch in a replay.
    pub reporting_interval: Option<Duration>,
    /// How often the state is written: a start follows about two such intervals of the log. Default 30 s.
    pub checkpoint_interval: Duration,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        PipelineConfig {
            name: "questline".to_owned(),
            workers: 1,
            reporting_interval: None,
            checkpoint_interval: Duration::seconds(30),
        }
    }
}

impl PipelineConfig {
    /// The interval of a run where none is configured.
    pub const REPORTING_INTERVAL: Duration = Duration::seconds(10);
}

/// `[kafka]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port`, comma-separated. Required.
    pub brokers: String,
    /// Any property of librdkafka. A secret, such as `sasl.password`, comes by the environment
    /// (`QUESTLINE__KAFKA__PROPERTIES__SASL_PASSWORD`) or from a file (`"sasl.password_file"`).
    pub properties: Properties,
    /// How long a start waits for the brokers, and for the other processes of a cluster, before it gives up with exit 1.
    /// Default 60 s.
    pub startup_timeout: Duration,
    /// How long brokers may be away with something to commit before the process has to end, and how long readers of
    /// the outputs wait for a process that died and was not started again. Default 60 s.
    pub transaction_timeout: Duration,
    /// What a start does when records that it has to read again were deleted. Default `stop`.
    pub missing_offsets: MissingOffsets,
    /// Output topics.
    pub topics: TopicsConfig,
}

/// `kafka.missing_offsets`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingOffsets {
    /// It stops and names them.
    #[default]
    Stop,
    /// It takes what they were decoded to from the lake, and stops and names them where the lake does not have all of it.
    Lake,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        KafkaConfig {
            brokers: String::new(),
            properties: Properties::default(),
            startup_timeout: Duration::seconds(60),
            transaction_timeout: Duration::seconds(60),
            missing_offsets: MissingOffsets::default(),
            topics: TopicsConfig::default(),
        }
    }
}

/// `[kafka.topics]`: output topics. Those that do not exist are created.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicsConfig {
    /// Completions and revocations. Default `completions`.
    pub completions: String,
    /// Completions that may not be told, and why. Default `audit`.
    pub audit: String,
    /// Rows of daily activity, compacted. Default `activity`.
    pub activity: String,
    /// Refused inputs. Default `dead-letters`.
    pub dead_letters: String,
    /// With `[entities]`: daily activity in 15 digits, compacted. Default `gaming-activity`.
    pub gaming_activity: String,
    /// With `[entities]`: transactions, compacted. Default `transactions`.
    pub transactions: String,
    /// With `[entities]`: customers, compacted. Default `customers`.
    pub customers: String,
    /// With `[entities]`: what these leave out, and why. Default `reviews`.
    pub reviews: String,
    /// The log of epochs, which a restart follows; one partition. Absent: `{pipeline.name}-progress`.
    pub progress: Option<String>,
    /// Partitions of topics that are created. Default 6.
    pub partitions: u32,
    /// Replicas of topics that are created. Absent: the broker's default.
    pub replication: Option<u32>,
}

impl Default for TopicsConfig {
    fn default() -> Self {
        TopicsConfig {
            completions: "completions".to_owned(),
            audit: "audit".to_owned(),
            activity: "activity".to_owned(),
            dead_letters: "dead-letters".to_owned(),
            gaming_activity: "gaming-activity".to_owned(),
            transactions: "transactions".to_owned(),
            customers: "customers".to_owned(),
            reviews: "reviews".to_owned(),
            progress: None,
            partitions: 6,
            replication: None,
        }
    }
}

impl TopicsConfig {
    /// The progress topic of the pipeline called `name`.
    pub fn progress(&self, name: &str) -> String {
        self.progress.clone().unwrap_or_else(|| format!("{name}-progress"))
    }
}

/// `[[source]]`: topics whose payloads look alike.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    /// Part of a transaction's identity: it stays. Required.
    pub name: String,
    /// Topics; each in one source only. Required.
    pub topics: Vec<String>,
    /// Where payloads keep what an event needs. The defaults fill what is absent.
    pub mapping: MappingConfig,
}

/// `[missions]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MissionsConfig {
    /// The compacted topic of mission definitions. Default `missions`.
    pub topic: String,
    /// How long events are retained whole, for missions that count from the start of the window in which they are activated. Costs
    /// state: several hundred bytes an event. Default 0: none are.
    pub retained: Duration,
}

impl Default for MissionsConfig {
    fn default() -> Self {
        MissionsConfig { topic: "missions".to_owned(), retained: Duration::seconds(0) }
    }
}

/// `[defaults]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DefaultsConfig {
    /// Currency of events and of sums that name none. Default `EUR`.
    pub currency: String,
    /// Codes beyond ISO 4217 that may be used. Default none.
    pub currencies: Vec<String>,
    /// Zone of mission windows that name none. Default UTC.
    pub zone: Zone,
}

impl Default for DefaultsConfig {
    fn default() -> Self {
        DefaultsConfig { currency: "EUR".to_owned(), currencies: Vec::new(), zone: Zone::default() }
    }
}

/// `[ledger]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerConfig {
    /// How long a transaction can be reversed; costs state. Default 95 d.
    pub retention: Duration,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        LedgerConfig { retention: Duration::days(95) }
    }
}

/// `[identity]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// How long a transaction id is remembered. At least 48 h, as wallets retry for two days. Default 7 d.
    pub retention: Duration,
    /// How long a reversal waits for its transaction. Default 48 h.
    pub orphan_wait: Duration,
    /// How far an event may be ahead of its own ingest time. Default 5 min.
    pub max_future: Duration,
    /// Families whose status moves under one transaction id. Default `deposit`, `withdrawal`.
    pub lifecycle: Vec<String>,
    /// Statuses whose money counts. Default `approved`, `completed`.
    pub counted_status: Vec<String>,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        let texts = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        IdentityConfig {
            retention: Duration::days(7),
            orphan_wait: Duration::days(2),
            max_future: Duration::seconds(300),
            lifecycle: texts(["deposit", "withdrawal"]),
            counted_status: texts(["approved", "completed"]),
        }
    }
}

/// `[activity]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActivityConfig {
    /// Zone of the reporting day. Default UTC.
    pub zone: Zone,
    /// How stakes and wins are counted. Default `cash`.
    pub basis: Basis,
    /// The day that a stake belongs to. Default `transaction`.
    pub attribution: Attribution,
    /// From GGR to NGR, in order. Default none: NGR is GGR.
    pub ngr: Vec<NgrConfig>,
}

/// `activity.basis`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Stake without bonus money, withdrawable winnings.
    #[default]
    Cash,
    /// All stake and all wins.
    Gross,
}

/// `activity.attribution`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribution {
    /// Stake on the day of the bet, win on the day of the settlement.
    #[default]
    Transaction,
    /// Both on the day of the settlement.
    Settlement,
}

/// `[lake]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LakeConfig {
    /// Root of the tables: `s3://bucket/root` or `file:///path`. Required.
    pub url: String,
    /// Parquet bytes at which a file is cut; costs memory. Default 128 MiB.
    pub max_file_bytes: u64,
    /// Oldest a row may get before its file is cut: bounds analysts' lag. Default 5 min.
    pub max_file_age: Duration,
    /// How to reach S3; the usual `AWS_…` variables fill what is absent.
    pub s3: S3Config,
}

impl Default for LakeConfig {
    fn default() -> Self {
        LakeConfig {
            url: String::new(),
            max_file_bytes: 128 << 20,
            max_file_age: Duration::seconds(300),
            s3: S3Config::default(),
        }
    }
}

/// `[lake.s3]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// Server of another vendor, such as `http://127.0.0.1:9000`. Absent: AWS.
    pub endpoint: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Plain HTTP is allowed. Default false.
    pub allow_http: bool,
    /// Who asks; also `access_key_id_file`.
    pub access_key_id: Option<String>,
    /// Only by `QUESTLINE__LAKE__S3__SECRET_ACCESS_KEY` or `secret_access_key_file`.
    pub secret_access_key: Option<Secret>,
    /// Only by `QUESTLINE__LAKE__S3__SESSION_TOKEN` or `session_token_file`.
    pub session_token: Option<Secret>,
}

/// `[checkpoint]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// `file:///path` or `s3://bucket/prefix`, for this pipeline alone; S3 is reached as `[lake.s3]` says. Absent:
    /// the folder `_checkpoint` of the lake; without a lake, a start follows the log from its beginning.
    pub url: Option<String>,
    /// Keep what the last two checkpoints make superfluous in the log of epochs: a start under other rules can follow
    /// it from its beginning, for as long as the topics still have the events. Default false.
    pub keep_log: bool,
    /// A folder on a disk of this machine: transactions that nobody asked for in two days lie there, and rows of activity of days that are
    /// over for so long, and not in memory. A start fetches what is missing from the checkpoint. Absent: all are in memory.
    pub cold_folder: Option<PathBuf>,
}

/// `[points]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PointsConfig {
    /// How long after the completion that earned them points can be spent. Absent: for ever.
    pub expiry: Option<Duration>,
}

/// `[[tier]]`: one loyalty tier.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TierConfig {
    /// What messages call it. Required.
    pub name: String,
    /// What counts for it: `on` names the events, the rest is as the measure of a mission's stage; `where` may stand beside. Required.
    pub measure: Map<String, Value>,
    /// How much of it a player needs. Required.
    pub threshold: Option<Threshold>,
    /// When a player who has it loses it again. Default `never`.
    pub downgrade: Downgrade,
    /// With `period_end`: what is measured, and after which a tier is lost. Default `month`.
    pub period: Option<Period>,
    /// With `period_end`: where periods begin. Default: `defaults.zone`.
    pub zone: Option<Zone>,
    /// With `period_end`: at which end a tier is lost. Default `period`.
    pub kept: Option<TierKept>,
}

impl TierConfig {
    /// As it is configured, for people.
    pub fn as_json(&self) -> Value {
        let threshold = self.threshold.as_ref().map(|threshold| &threshold.0);
        let mut object = json!({ "name": self.name, "measure": self.measure, "threshold": threshold });
        let downgrade = match self.downgrade {
            Downgrade::Never => "never",
            Downgrade::Automatic => "automatic",
            Downgrade::PeriodEnd => "period_end",
        };
        object["downgrade"] = downgrade.into();
        if self.downgrade == Downgrade::PeriodEnd {
            object["period"] = match self.period.unwrap_or_default() {
                Period::Day => "day",
                Period::Week => "week",
                Period::Month => "month",
            }
            .into();
            object["zone"] = self.zone.as_ref().map(Zone::name).into();
            object["kept"] = match self.kept.unwrap_or_default() {
                TierKept::Period => "period",
                TierKept::NextPeriod => "next_period",
            }
            .into();
        }
        object
    }
}

/// `tier.period`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A day.
    Day,
    /// An ISO week, which begins on Monday.
    Week,
    /// A month of the calendar.
    #[default]
    Month,
}

/// `tier.kept`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TierKept {
    /// To the end of the period in which it was reached.
    #[default]
    Period,
    /// To the end of the one behind that: a tier is lost when it was not reached in a whole period.
    NextPeriod,
}

/// `tier.downgrade`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Downgrade {
    /// Whoever has reached it keeps it.
    #[default]
    Never,
    /// When a correction takes progress under the threshold.
    Automatic,
    /// At the end of a period: what is measured begins anew in each.
    PeriodEnd,
}

/// `[dead_letters]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLettersConfig {
    /// Keep the bytes of records that do not parse, which redaction cannot reach. Default false.
    pub raw: bool,
}

/// `[limits]`: reading stops while one of them is reached.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Epochs that wait for their commit. Default 64.
    pub epochs_in_flight: u64,
    /// Bytes that wait for the lake, as they lie in memory. Default 256 MiB.
    pub bytes_in_flight: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        LimitsConfig { epochs_in_flight: 64, bytes_in_flight: 256 << 20 }
    }
}

/// `[metrics]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Address and port at which a run answers `/metrics` and `/ready` by HTTP, to whoever asks. Absent: nowhere.
    pub listen: Option<SocketAddr>,
}
