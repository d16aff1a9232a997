//! The little XML of API v2 that v3 merchants still meet.

use serde_json::{Map, Value};

/// `<root>…</root>` around fields that are all text.
pub(crate) fn element(root: &str, fields: &Map<String, Value>) -> String {
    let mut xml = format!("<{root}>\n");
    for (name, value) in fields {
        let text = value.as_str().unwrap_or_default();
        xml.push_str(&format!("<{name}><![CDATA[{text}]]></{name}>\n"));
    }
    xml.push_str(&format!("</{root}>"));
    xml
}

/// Is this the one answer that v2 takes for a yes?
pub(crate) fn is_success(answer: &str) -> bool {
    let plain: String = answer.replace("<![CDATA[", "").replace("]]>", "").split_whitespace().collect();
    plain.contains("<return_code>SUCCESS</return_code>")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_wrapped_one_a_line() {
        let fields = json!({"a": "1", "b": "茶"});
        let xml = element("root", fields.as_object().unwrap());
        assert_eq!(xml, "<root>\n<a><![CDATA[1]]></a>\n<b><![CDATA[茶]]></b>\n</root>");
    }

    #[test]
    fn only_success_is_a_yes() {
        for (answer, yes) in [
            ("<xml><return_code><![CDATA[SUCCESS]]></return_code></xml>", true),
            ("<xml>\n  <return_code>SUCCESS</return_code>\n</xml>", true),
            ("<xml><return_code><![CDATA[FAIL]]></return_code></xml>", false),
            (r#"{"code":"SUCCESS"}"#, false),
            ("", false),
        ] {
            assert_eq!(is_success(answer), yes, "{answer}");
        }
    }
}
