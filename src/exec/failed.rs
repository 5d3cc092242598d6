//! Why a plan was not carried out, as data for the code that decides what to try next.

use crate::error::{Error, Kind};
use crate::model::{DmUuid, Extent, VolumeId};
use crate::plan::Refusal;
use std::collections::BTreeMap;

/// A plan that was not carried out: the configuration from before is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The error for the administrator.
    pub error: Error,
    /// The cause, as far as another plan can go round it.
    pub cause: Cause,
    /// Volumes that could not be frozen, and why. The caller of the plan fills this in: it has the
    /// helper that knows.
    pub unfrozen: BTreeMap<VolumeId, String>,
    /// Copies of maps of changes that were found dead on the way.
    pub lost_copies: Vec<Extent>,
}

/// The result of a plan, or of a part of one.
pub type Done<T> = Result<T, Box<Failed>>;

/// The cause of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Nothing that another plan would go round.
    Other,
    /// This extent of a map of changes could not be read or written.
    Map(Extent),
    /// Another process has a device open, or has written to it just now.
    InUse(DmUuid),
    /// The kernel did not do something to a device.
    Device(DmUuid),
}

impl Failed {
    /// A failure with this cause.
    pub fn new(error: Error, cause: Cause) -> Box<Failed> {
        Box::new(Failed {
            error,
            cause,
            unfrozen: BTreeMap::new(),
            lost_copies: Vec::new(),
        })
    }

    /// Something that was to be done to a device failed.
    pub fn on(uuid: &DmUuid, error: Error) -> Box<Failed> {
        let cause = if error.kind() == Kind::InUse {
            Cause::InUse(uuid.clone())
        } else {
            Cause::Device(uuid.clone())
        };
        Failed::new(error, cause)
    }
}

impl From<Error> for Box<Failed> {
    fn from(error: Error) -> Box<Failed> {
        Failed::new(error, Cause::Other)
    }
}

impl From<Refusal> for Box<Failed> {
    fn from(refusal: Refusal) -> Box<Failed> {
        Error::from(refusal).into()
    }
}

impl From<Box<Failed>> for Error {
    fn from(failed: Box<Failed>) -> Error {
        failed.error
    }
}
