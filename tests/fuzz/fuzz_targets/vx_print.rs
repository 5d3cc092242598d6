//! What `vxprint` reads as text: formats (`-F`), expressions (`-e`) and units (`-u`).
#![no_main]

use breakoff::error::Kind;
use breakoff::report::vx::{self, Expr, Form, Format, Shape, Unit};
use breakoff_fuzz::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = text(data);
    let form = Form {
        shape: match text.parse::<Format>() {
            Ok(format) => Shape::Format(format),
            Err(err) => {
                assert_eq!(err.kind(), Kind::Usage);
                Shape::Default
            }
        },
        only: text
            .parse::<Expr>()
            .map_err(|err| assert_eq!(err.kind(), Kind::Usage))
            .ok(),
        unit: text
            .parse::<Unit>()
            .map_err(|err| assert_eq!(err.kind(), Kind::Usage))
            .ok(),
        ..Form::default()
    };
    // Nothing is there to be printed; what asks for nothing in particular gets nothing.
    match vx::text(&[], &[], &form) {
        Ok(printed) => assert_eq!(printed, ""),
        Err(err) => assert_eq!(err.kind(), Kind::NotFound),
    }
});
