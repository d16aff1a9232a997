//! A page's Content-Security-Policy, with a place in it for what WeChat brings.
//!
//! The real one injects from outside the page's rules; a script in a page has to be let in.

/// Who must be let in.
pub(super) struct Guests<'a> {
    /// The bridge script's address.
    pub script: &'a str,
    /// The bridge script's nonce, for a policy that looks at nothing else.
    pub nonce: &'a str,
    /// Where the phone's frame is from.
    pub frame: &'a str,
}

/// Each policy of a header with room for the guests, and for nobody else.
pub(super) fn admit(policies: &str, guests: &Guests<'_>) -> String {
    policies.split(',').map(|policy| admit_one(policy, guests)).collect::<Vec<_>>().join(", ")
}

fn admit_one(policy: &str, guests: &Guests<'_>) -> String {
    let mut directives: Vec<(String, Vec<String>)> = policy
        .split(';')
        .filter_map(|directive| {
            let mut words = directive.split_ascii_whitespace().map(str::to_owned);
            Some((words.next()?.to_ascii_lowercase(), words.collect()))
        })
        // This browser has no certificate to upgrade to.
        .filter(|(name, _)| name != "upgrade-insecure-requests")
        .collect();
    let script = |sources: &[String]| {
        if sources.iter().any(|source| source.eq_ignore_ascii_case("'strict-dynamic'")) {
            format!("'nonce-{}'", guests.nonce)
        } else {
            guests.script.to_owned()
        }
    };
    open(&mut directives, &["script-src-elem", "script-src", "default-src"], script);
    open(&mut directives, &["frame-src", "child-src", "default-src"], |_| guests.frame.to_owned());
    directives
        .into_iter()
        .map(|(name, sources)| [vec![name], sources].concat().join(" "))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Adds a source where it counts: the first of these directives that there is. What the fallback
/// allows is not widened for the rest.
fn open(directives: &mut Vec<(String, Vec<String>)>, names: &[&str], source: impl Fn(&[String]) -> String) {
    let counts = names.iter().find_map(|name| directives.iter().position(|(known, _)| known == name));
    let Some(counts) = counts else { return };
    let (name, mut sources) = directives[counts].clone();
    sources.retain(|source| !source.eq_ignore_ascii_case("'none'"));
    sources.push(source(&sources));
    if name == "default-src" {
        directives.push((names[0].to_owned(), sources));
    } else {
        directives[counts].1 = sources;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_lets_in_the_bridge_and_the_phone_and_nobody_else() {
        let guests = Guests { script: "S", nonce: "N", frame: "F" };
        for (policy, admitted) in [
            ("img-src 'self'", "img-src 'self'"),
            ("default-src 'self'", "default-src 'self'; script-src-elem 'self' S; frame-src 'self' F"),
            ("default-src 'none'", "default-src 'none'; script-src-elem S; frame-src F"),
            (
                "default-src 'none'; script-src 'self' 'unsafe-inline'; frame-src weixin:",
                "default-src 'none'; script-src 'self' 'unsafe-inline' S; frame-src weixin: F",
            ),
            ("script-src 'nonce-a' 'strict-dynamic'", "script-src 'nonce-a' 'strict-dynamic' 'nonce-N'"),
            ("script-src 'self'; script-src-elem 'none'", "script-src 'self'; script-src-elem S"),
            ("Script-Src x; upgrade-insecure-requests;", "script-src x S"),
            ("frame-src 'none', script-src a", "frame-src F, script-src a S"),
        ] {
            assert_eq!(admit(policy, &guests), admitted);
        }
    }
}
