//! The names of keys. All keys of one script call have one hash tag, and so lie in one slot of a cluster. Pure.

use ragpulse_protocol::PipelineId;

/// How many sets hold the ids of a pipeline.
pub(super) const BUCKETS: usize = 8;
/// The most shards a store may have: two digits.
pub(super) const MOST_SHARDS: u16 = 99;

/// How the keys of a store are named.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
    shards: u16,
}

/// The keys of one shard.
#[derive(Debug, Clone)]
pub(super) struct Shard {
    tag: String,
}

impl Keys {
    /// `prefix` must have no braces, which would end the hash tag; `shards` is from 1 to [`MOST_SHARDS`].
    pub(super) fn new(prefix: &str, shards: u16) -> Option<Self> {
        let fits = !prefix.is_empty() && !prefix.contains(['{', '}']) && (1..=MOST_SHARDS).contains(&shards);
        fits.then(|| Self { prefix: prefix.to_owned(), shards })
    }

    pub(super) fn shards(&self) -> u16 {
        self.shards
    }

    /// Which shard a pipeline is in. Written down by where its keys are, so it never changes.
    pub(super) fn shard_of(&self, pipeline: &PipelineId) -> u16 {
        let hash = crc32fast::hash(pipeline.as_str().as_bytes());
        u16::try_from(hash % u32::from(self.shards)).unwrap_or(0)
    }

    pub(super) fn shard(&self, number: u16) -> Shard {
        Shard { tag: format!("{{{}:{number:02}}}", self.prefix) }
    }

    pub(super) fn of(&self, pipeline: &PipelineId) -> Shard {
        self.shard(self.shard_of(pipeline))
    }
}

impl Shard {
    fn of_shard(&self, what: &str) -> String {
        format!("{}:{what}", self.tag)
    }

    fn of_pipeline(&self, what: &str, pipeline: &PipelineId) -> String {
        format!("{}:{what}:{pipeline}", self.tag)
    }

    /// A key of the shard itself.
    pub(super) fn life(&self) -> String {
        self.of_shard("life")
    }

    pub(super) fn feed(&self) -> String {
        self.of_shard("feed")
    }

    pub(super) fn pipelines(&self) -> String {
        self.of_shard("pipelines")
    }

    /// When leases end, and how long they are.
    pub(super) fn leases(&self) -> [String; 2] {
        [self.of_shard("due"), self.of_shard("spans")]
    }

    /// What is known of a pipeline in a few words.
    pub(super) fn meta(&self, pipeline: &PipelineId) -> String {
        self.of_pipeline("p", pipeline)
    }

    pub(super) fn events(&self, pipeline: &PipelineId) -> String {
        self.of_pipeline("e", pipeline)
    }

    pub(super) fn reporters(&self, pipeline: &PipelineId) -> String {
        self.of_pipeline("l", pipeline)
    }

    /// The state as it was written down: the text, and the files.
    pub(super) fn state(&self, pipeline: &PipelineId) -> [String; 2] {
        [self.of_pipeline("s", pipeline), self.of_pipeline("f", pipeline)]
    }

    pub(super) fn ids(&self, pipeline: &PipelineId) -> [String; BUCKETS] {
        std::array::from_fn(|bucket| format!("{}:d:{pipeline}:{bucket}", self.tag))
    }

    /// The keys that an append writes to, in the script's order.
    pub(super) fn of_append(&self, pipeline: &PipelineId) -> Vec<String> {
        let [due, spans] = self.leases();
        let mut keys = vec![self.life(), self.feed(), self.pipelines(), due, spans];
        keys.extend([self.meta(pipeline), self.events(pipeline), self.reporters(pipeline)]);
        keys.extend(self.ids(pipeline));
        keys
    }
}
