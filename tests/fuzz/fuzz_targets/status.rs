//! Status lines of mirrors, one on each line of text. There are two readers, one of which must not
//! allocate: they agree.
#![no_main]

use breakoff::linux::dm::wire;
use breakoff::model::Sectors;
use breakoff::sys::MirrorHealth;
use breakoff::table::TargetLine;
use breakoff::table::status::{LegHealth, MAX_LEGS, MirrorStatus, Seen};
use breakoff_fuzz::{memory, reply, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A NUL ends a line in the kernel's reply, and blanks are the only white space.
    let text = text(data).replace(|c: char| c.is_control() && c != '\n', " ");
    let line = |params: &str| TargetLine {
        start: Sectors::ZERO,
        length: Sectors::MIB,
        target: "mirror".to_owned(),
        params: params.to_owned(),
    };
    let lines: Vec<TargetLine> = text.lines().take(8).map(line).collect();
    let status = memory::bounded(4096 + 64 * text.len(), || MirrorStatus::parse(&lines));
    if let Some(status) = &status {
        check_status(status);
        assert_eq!(
            MirrorStatus::parse(&[line(&render(status))]).as_ref(),
            Some(status),
            "it reads differently once it is written"
        );
    }
    let (bytes, count) = reply::encode(&lines);
    match (wire::health(&bytes, count), status) {
        (Ok(health), Some(status)) => {
            assert_eq!(health == MirrorHealth::InSync, status.in_sync(), "{text:?}");
            let failed = status.log_failed || !status.failed_legs().is_empty();
            assert_eq!(health == MirrorHealth::Failed, failed, "{text:?}");
        }
        // Within the window each segment is looked at by itself; whether all are over the same legs
        // was seen before.
        (Ok(health), None) => assert!(
            lines.len() > 1,
            "{health:?} only within the window: {text:?}"
        ),
        (Err(_), _) => {}
    }
});

fn check_status(status: &MirrorStatus) {
    assert!(
        (2..=MAX_LEGS).contains(&status.legs.len())
            && status.done <= status.total
            && status.total > 0,
        "{status:?}"
    );
    assert_eq!(status.letters().len(), status.legs.len());
    let alive = status
        .legs
        .iter()
        .all(|(_, health)| *health == LegHealth::Alive);
    assert_eq!(status.failed_legs().is_empty(), alive);
    assert_eq!(
        status.in_sync(),
        alive && !status.log_failed && status.done == status.total
    );
    assert_eq!(Seen::of(status), Seen::of(&status.clone()));
}

fn render(status: &MirrorStatus) -> String {
    let legs: Vec<String> = status.legs.iter().map(|(dev, _)| dev.to_string()).collect();
    let log = if status.log_failed {
        "3 disk 1:1 D"
    } else {
        "1 core"
    };
    format!(
        "{} {} {}/{} 1 {} {log}",
        legs.len(),
        legs.join(" "),
        status.done,
        status.total,
        status.letters()
    )
}
