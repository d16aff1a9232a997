//! A script into a page, before any of the page's own.

/// The page with `tag` as the first thing in its head; bytes, because a page may be in any
/// encoding in which ASCII is ASCII.
pub(super) fn insert(page: &[u8], tag: &str) -> Vec<u8> {
    let (before, after) = page.split_at(start_of_head(page));
    [before, tag.as_bytes(), after].concat()
}

/// Behind everything that must come first: a byte order mark, comments, the doctype, `<html>` and
/// `<head>`, whichever of them there are.
fn start_of_head(page: &[u8]) -> usize {
    let mut at = if page.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut found = at;
    while let Some(length) = skip(&page[at..]) {
        at += length;
        // Blanks and comments before nothing of the kind are the body's.
        if page[at - 1] == b'>' {
            found = at;
        }
    }
    found
}

/// How long the thing at the start is, if it is one that comes before the head's content.
fn skip(rest: &[u8]) -> Option<usize> {
    let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    if blanks > 0 {
        return Some(blanks);
    }
    if rest.starts_with(b"<!--") {
        return find(rest, b"-->").map(|at| at + 3);
    }
    [&b"<!doctype"[..], b"<?xml", b"<html", b"<head"].iter().find(|name| opens(rest, name))?;
    end_of_tag(rest)
}

fn opens(rest: &[u8], name: &[u8]) -> bool {
    rest.len() > name.len()
        && rest[..name.len()].eq_ignore_ascii_case(name)
        // `<header>` is not `<head>`.
        && !rest[name.len()].is_ascii_alphanumeric()
}

/// Behind the `>` that is in no quotes.
fn end_of_tag(rest: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in rest.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_the_first_thing_in_the_head() {
        // `|` is where it goes.
        for page in [
            "<!doctype html><html lang=\"zh\"><head>|<meta charset=utf-8><script>1</script>",
            "<!DOCTYPE html>\n<!-- a > b -->\n<HTML data-a='>'>\n<HEAD class=x>|\n<title>",
            "\u{feff}<!doctype html><html>|<body>no head</body>",
            "<!doctype html>|<title>neither</title>",
            "<html>|<header>not a head</header>",
            "|<p>a fragment",
            "|",
            "|text",
            "<!-- closed -->|<p>",
            "|<!-- never closed",
        ] {
            let bare = page.replace('|', "");
            let made = String::from_utf8(insert(bare.as_bytes(), "|")).unwrap();
            assert_eq!(made, page);
        }
    }
}
