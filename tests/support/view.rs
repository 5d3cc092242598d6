//! What the program says with `--json`, read strictly: a field that is missing fails the test.

use super::child::Output;
use serde::Deserialize;
use serde_json::Value;

/// A group as `print --json` shows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Group {
    pub name: String,
    pub uuid: String,
    pub generation: u64,
    pub disks: Vec<Disk>,
    pub volumes: Vec<Volume>,
    /// How full the metadata area is.
    pub metadata: Option<Fill>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Fill {
    pub used: u64,
    pub capacity: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Disk {
    pub media: String,
    pub device: Option<String>,
    pub uuid: String,
    pub state: String,
    pub size: u64,
    pub free: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Volume {
    pub name: String,
    pub uuid: String,
    pub device: Option<String>,
    pub size: u64,
    pub state: String,
    pub kstate: String,
    pub snapshot_of: Option<String>,
    pub resync: Option<Sync>,
    pub plexes: Vec<Plex>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Plex {
    pub name: String,
    pub role: String,
    pub state: String,
    pub kstate: String,
    pub sync: Option<Sync>,
    pub subdisks: Vec<Subdisk>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Sync {
    pub done: u64,
    pub total: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Subdisk {
    pub media: String,
    pub disk_offset: u64,
    pub plex_offset: u64,
    pub length: u64,
}

impl Group {
    #[track_caller]
    pub fn volume(&self, name: &str) -> &Volume {
        self.volumes
            .iter()
            .find(|v| v.name == name)
            .unwrap_or_else(|| panic!("no volume '{name}' in {:?}", self.names()))
    }

    #[track_caller]
    pub fn disk(&self, media: &str) -> &Disk {
        self.disks
            .iter()
            .find(|d| d.media == media)
            .unwrap_or_else(|| panic!("no disk '{media}' in {:?}", self.disks))
    }

    /// The names of its volumes, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.volumes.iter().map(|v| v.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// Space for volumes that is not in use.
    pub fn free(&self) -> u64 {
        self.disks.iter().map(|d| d.free).sum()
    }
}

impl Volume {
    /// Its plexes in this state.
    pub fn in_state(&self, state: &str) -> Vec<&Plex> {
        self.plexes.iter().filter(|p| p.state == state).collect()
    }

    /// The states of its plexes, sorted: `["ACTIVE", "SNAPDONE"]`.
    pub fn states(&self) -> Vec<&str> {
        let mut states: Vec<&str> = self.plexes.iter().map(|p| p.state.as_str()).collect();
        states.sort_unstable();
        states
    }

    #[track_caller]
    pub fn plex(&self, name: &str) -> &Plex {
        self.plexes
            .iter()
            .find(|p| p.name == name)
            .unwrap_or_else(|| panic!("no plex '{name}' in {self:?}"))
    }
}

impl Plex {
    /// The disks that it lies on, sorted.
    pub fn media(&self) -> Vec<&str> {
        let mut media: Vec<&str> = self.subdisks.iter().map(|s| s.media.as_str()).collect();
        media.sort_unstable();
        media.dedup();
        media
    }
}

/// A refusal as `--json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    pub kind: String,
    pub message: String,
    pub object: Option<String>,
    pub hint: Option<String>,
}

/// The one document on stdout, with its envelope checked: `ok` and the exit status agree.
#[track_caller]
pub fn document(output: &Output) -> Value {
    let document: Value = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|err| panic!("not one JSON document ({err}):\n{output}"));
    assert_eq!(document["breakoff"], 1, "{output}");
    assert!(
        document["command"].is_string() || output.status == 2,
        "{output}"
    );
    assert_eq!(document["ok"], output.status == 0, "{output}");
    document
}

/// The result in the document of a command that worked.
#[track_caller]
pub fn result(output: &Output) -> Value {
    assert_eq!(output.status, 0, "it should have worked:\n{output}");
    document(output)["result"].take()
}

/// The refusal in the document of a command that did not.
#[track_caller]
pub fn refusal(output: &Output) -> Refusal {
    assert_ne!(output.status, 0, "it should have been refused:\n{output}");
    serde_json::from_value(document(output)["error"].take())
        .unwrap_or_else(|err| panic!("not an error document ({err}):\n{output}"))
}
