//! `vxassist maxsize` and `maxgrow`: one line, in sectors and in mebibytes, rounded down.

use crate::model::{Name, Sectors};

/// The largest size of a new volume, or of one that grows by so much; the number alone if `bare`.
pub fn room(size: Sectors, by: Option<Sectors>, volume: Option<&Name>, bare: bool) -> String {
    let mib = |size: Sectors| size.get() / Sectors::MIB.get();
    match (by, volume) {
        (Some(by), _) if bare => format!("{}\n", by.get()),
        (None, _) if bare => format!("{}\n", size.get()),
        (Some(by), Some(volume)) => format!(
            "Volume {volume} can be extended by {} to {} ({}Mb)\n",
            by.get(),
            size.get(),
            mib(size)
        ),
        _ => format!("Maximum volume size: {} ({}Mb)\n", size.get(), mib(size)),
    }
}
