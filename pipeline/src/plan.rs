//! From the configuration to what the dataflow computes by.

use std::sync::Arc;

use datasets::schema::EventNames;
use datasets::{Family, TopicId, Topics};
use operators::activity::{ActivityRules, Base, Basis, Deduction, Per, Reporting};
use operators::decode::{DecodeRules, TopicRole};
use operators::ledger::{Attribution, LedgerRules};
use operators::players::Rules;
use operators::points::PointsRules;

use crate::config::{self, Config, Duration, EntitiesConfig};
use crate::dataflow::{Begin, Plan};
use crate::epochs::ClockSource;
use crate::replay::line::CLOCK;

/// A plan with the names that edges need.
#[derive(Clone)]
pub struct Prepared {
    /// What the dataflow computes by.
    pub plan: Plan,
    /// Names of topics and sources, for the lake.
    pub names: Arc<EventNames>,
    /// The first topic of the first source, as configured.
    pub first: TopicId,
    /// The missions topic.
    pub missions: TopicId,
}

/// What is done with the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// On a broker.
    Run,
    /// On files.
    Replay,
}

/// Lanes of the lake's table `events`: a constant of a lake, whatever the number of workers. One thread
/// encodes them all, so more would only make more files.
const LANES: u16 = 1;

/// Compiles a checked configuration.
///
/// # Errors
/// What a mapping or a tier has wrong; the configuration's own check finds it before.
pub fn prepare(config: &Config, workers: usize, purpose: Purpose) -> Result<Prepared, String> {
    let clock = (purpose == Purpose::Replay).then_some(CLOCK);
    let inputs = config.sources.iter().flat_map(|source| source.topics.iter().map(String::as_str));
    let topics = Arc::new(Topics::new(inputs.chain([config.missions.topic.as_str()]).chain(clock)));
    let id = |name: &str| topics.id(name).expect("every configured topic is in the table");
    let first = config.sources.first().and_then(|source| source.topics.first()).ok_or("no source has a topic")?;

    let mut roles = vec![TopicRole::Clock; topics.len()];
    roles[usize::from(id(&config.missions.topic).0)] = TopicRole::Definitions;
    for (source, mapper) in config.sources.iter().zip(config.mappers()) {
        let mapper = Box::new(mapper.map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            format!("source {}: {}", source.name, errors.join("; "))
        })?);
        for topic in &source.topics {
            roles[usize::from(id(topic).0)] = TopicRole::Events(mapper.clone());
        }
    }

    let decode = DecodeRules { roles, topics: topics.clone(), workers, lanes: LANES };
    let (clock, reporting) = match (purpose, config.pipeline.reporting_interval) {
        (Purpose::Replay, None) => (ClockSource::Input, Reporting::EveryEpoch),
        (Purpose::Replay, Some(interval)) => (ClockSource::Input, Reporting::Interval(interval.micros())),
        (Purpose::Run, interval) => {
            let interval = interval.unwrap_or(config::PipelineConfig::REPORTING_INTERVAL);
            (ClockSource::Wall, Reporting::Interval(interval.micros()))
        }
    };
    let plan = Plan {
        decode,
        players: players_rules(config)?,
        activity: activity_rules(config),
        reporting,
        clock,
        begin: Begin::default(),
        keepers: workers,
    };
    let (sources, chargebacks) = (config.source_names(), config.sources_with_chargebacks());
    let names = Arc::new(EventNames { topics: (*topics).clone(), sources, chargebacks });
    Ok(Prepared { plan, names, first: id(first), missions: id(&config.missions.topic) })
}

fn players_rules(config: &Config) -> Result<Rules, String> {
    let tiers = config.checked_tiers().into_iter().zip(&config.tiers).map(|(tier, written)| {
        tier.map_err(|errors| {
            let errors: Vec<String> =
                errors.into_iter().map(|error| format!("{}: {}", error.key, error.message)).collect();
            format!("tier {}: {}", written.name, errors.join("; "))
        })
    });
    let entities = config.entities.as_ref().map(|entities| entities.rules(config.source_names()));
    Ok(Rules {
        pipeline: config.pipeline.name.as_str().into(),
        ledger: LedgerRules {
            identity_retention: config.identity.retention.micros(),
            ledger_retention: config.ledger.retention.micros(),
            orphan_wait: config.identity.orphan_wait.micros(),
            lifecycle: config.identity.lifecycle.iter().filter_map(|name| Family::named(name)).collect(),
            counted_status: config.identity.counted_status.clone(),
            attribution: match config.activity.attribution {
                config::Attribution::Transaction => Attribution::Transaction,
                config::Attribution::Settlement => Attribution::Settlement,
            },
            whole: config.entities.as_ref().map(EntitiesConfig::transaction_events).unwrap_or_default(),
        },
        activity_zone: config.activity.zone.time_zone().clone(),
        points: PointsRules {
            expiry: config.points.expiry.map(Duration::micros),
            // As long as its transactions are known, a completion can be taken back.
            kept: config.ledger.retention.micros().saturating_mul(2),
        },
        missions: config.mission_defaults(),
        tiers: tiers.collect::<Result<_, String>>()?,
        entities: entities.transpose()?.map(Arc::new),
    })
}

fn activity_rules(config: &Config) -> ActivityRules {
    let basis = match config.activity.basis {
        config::Basis::Cash => Basis::Cash,
        config::Basis::Gross => Basis::Gross,
    };
    let base = |base| match base {
        config::NgrBase::Ggr => Base::Ggr,
        config::NgrBase::Bets => Base::Bets,
        config::NgrBase::Wins => Base::Wins,
        config::NgrBase::BonusCost => Base::BonusCost,
        config::NgrBase::JackpotContribution => Base::JackpotContribution,
        config::NgrBase::JackpotWins => Base::JackpotWins,
        config::NgrBase::Chargebacks => Base::Chargebacks,
    };
    let per = |per| match per {
        config::NgrPer::Bet => Per::Bet,
        config::NgrPer::Row => Per::Row,
    };
    // Of each step exactly one is there: whoever checks the configuration has seen to it.
    let waterfall = config.activity.ngr.iter().flat_map(|step| {
        let percent = step.percent.map(|percent| Deduction::Percent {
            percent: percent.0,
            of: base(step.of.unwrap_or(config::NgrBase::Ggr)),
            clamp: step.clamp.unwrap_or_default() == config::Clamp::Zero,
        });
        let amount_of = step.amount_of.map(|column| Deduction::AmountOf(base(column)));
        let add_back = step.add_back.map(|config::AddedBack::JackpotWins| Deduction::AddBack(Base::JackpotWins));
        let fixed = step.fixed.map(|amount| Deduction::Fixed {
            amount: amount.0,
            currency: step.currency.as_deref().unwrap_or_default().into(),
            per: per(step.per.unwrap_or_default()),
        });
        [percent, amount_of, add_back, fixed].into_iter().flatten()
    });
    ActivityRules { basis, waterfall: waterfall.collect() }
}

/// How the lake is reached and cut.
pub fn lake_config(config: &config::LakeConfig) -> sinks::lake::LakeConfig {
    let s3 = &config.s3;
    let secrets = [("aws_secret_access_key", &s3.secret_access_key), ("aws_session_token", &s3.session_token)];
    let secrets = secrets.into_iter().filter_map(|(key, secret)| Some((key, secret.as_ref()?.0.clone())));
    let access_key = s3.access_key_id.clone().map(|id| ("aws_access_key_id", id));
    let properties = access_key.into_iter().chain(secrets).map(|(key, value)| (key.to_owned(), value)).collect();
    let mut lake = sinks::lake::LakeConfig::new(&config.url);
    lake.limits.max_file_bytes = usize::try_from(config.max_file_bytes).unwrap_or(usize::MAX);
    lake.limits.max_file_age = config.max_file_age.into();
    lake.s3 = sinks::lake::S3Options {
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        allow_http: s3.allow_http,
        properties,
    };
    lake
}
