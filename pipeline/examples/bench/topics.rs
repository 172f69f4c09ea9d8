//! Topics for programs that do not make their own.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use serde_json::json;

use crate::Outcome;

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub struct MakeTopics {
    /// Their names.
    #[arg(required = true)]
    names: Vec<String>,
    /// Of each.
    #[arg(long, value_name = "N", default_value_t = 4)]
    partitions: i32,
}

impl MakeTopics {
    /// Creates them.
    pub fn run(self, brokers: &str) -> Outcome {
        let topics: Vec<NewTopic<'_>> = self.names.iter().map(|name| plain(name, self.partitions)).collect();
        create(ClientConfig::new().set("bootstrap.servers", brokers), &topics)?;
        Ok(json!({"topics": self.names.len()}))
    }
}

/// A topic of the broker's defaults.
pub fn plain(name: &str, partitions: i32) -> NewTopic<'_> {
    NewTopic::new(name, partitions, TopicReplication::Fixed(-1))
}

/// Creates `topics`; an error names the first that could not be.
pub fn create(config: &ClientConfig, topics: &[NewTopic<'_>]) -> Result<(), Box<dyn std::error::Error>> {
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for created in runtime.block_on(admin.create_topics(topics, &options))? {
        created.map_err(|(topic, error)| format!("cannot create topic {topic}: {error}"))?;
    }
    Ok(())
}
