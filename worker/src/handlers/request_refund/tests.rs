use entity::Timestamp;
use wechatpay::ApiError;

use super::Earlier;

const BEFORE: Timestamp = Timestamp(1_000);
const SIGNED: Timestamp = Timestamp(2_000);

/// What a refusal is worth, and which call counts as unanswered after it.
#[test]
fn a_refusal_is_the_end_only_when_nothing_can_be_on_its_way() {
    for (earlier, verified, counts, unanswered) in [
        (Earlier::None, true, true, None),
        (Earlier::None, false, false, Some(SIGNED)),
        (Earlier::MayArrive(BEFORE), true, false, Some(BEFORE)),
        (Earlier::MayArrive(BEFORE), false, false, Some(SIGNED)),
        (Earlier::IsOver, true, true, None),
        (Earlier::IsOver, false, true, Some(SIGNED)),
    ] {
        let said = ApiError {
            status: 400,
            code: "INVALID_REQUEST".to_owned(),
            message: String::new(),
            verified,
            request_id: None,
            earlier_unanswered: false,
        };
        assert_eq!(earlier.lets_count(&said), counts, "{earlier:?} {verified}");
        assert_eq!(earlier.after(&said, SIGNED), unanswered, "{earlier:?} {verified}");
        let said = ApiError { earlier_unanswered: true, ..said };
        assert!(earlier == Earlier::IsOver || !earlier.lets_count(&said), "{earlier:?}");
    }
}
