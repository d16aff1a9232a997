//! The `Authorization` header: five quoted pairs in any order.

pub(crate) const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";
const WINDOW_S: u64 = 300;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Authorization<'a> {
    pub mchid: &'a str,
    pub nonce: &'a str,
    pub signature: &'a str,
    pub timestamp: &'a str,
    pub serial: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    Missing,
    Scheme,
    Pairs,
}

impl<'a> Authorization<'a> {
    pub(crate) fn parse(header: Option<&'a str>) -> Result<Self, Malformed> {
        let header = header.ok_or(Malformed::Missing)?;
        let (scheme, pairs) = header.split_once(' ').ok_or(Malformed::Scheme)?;
        if scheme != SCHEME {
            return Err(Malformed::Scheme);
        }
        let [mut mchid, mut nonce, mut signature, mut timestamp, mut serial] = [None; 5];
        for pair in pairs.split(',') {
            let (key, value) = pair.split_once('=').ok_or(Malformed::Pairs)?;
            let value = value
                .strip_prefix('"')
                .and_then(|value| value.strip_suffix('"'))
                .filter(|value| !value.is_empty() && !value.contains('"'))
                .ok_or(Malformed::Pairs)?;
            let slot = match key {
                "mchid" => &mut mchid,
                "nonce_str" => &mut nonce,
                "signature" => &mut signature,
                "timestamp" => &mut timestamp,
                "serial_no" => &mut serial,
                _ => return Err(Malformed::Pairs),
            };
            if slot.replace(value).is_some() {
                return Err(Malformed::Pairs);
            }
        }
        let read = Self {
            mchid: mchid.ok_or(Malformed::Pairs)?,
            nonce: nonce.ok_or(Malformed::Pairs)?,
            signature: signature.ok_or(Malformed::Pairs)?,
            timestamp: timestamp.ok_or(Malformed::Pairs)?,
            serial: serial.ok_or(Malformed::Pairs)?,
        };
        let is_a_time =
            read.timestamp.len() <= 12 && read.timestamp.bytes().all(|digit| digit.is_ascii_digit());
        if is_a_time { Ok(read) } else { Err(Malformed::Pairs) }
    }

    /// Is the timestamp within five minutes of now, either way?
    pub(crate) fn is_fresh(&self, now_ms: i64) -> bool {
        self.timestamp.parse::<i64>().is_ok_and(|at| at.abs_diff(now_ms.div_euclid(1000)) <= WINDOW_S)
    }

    /// The five lines the merchant signed; `target` and `body` are the bytes on the wire.
    pub(crate) fn message(&self, method: &str, target: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("{method}\n{target}\n{}\n{}\n", self.timestamp, self.nonce);
        [head.as_bytes(), body, b"\n"].concat()
    }
}

#[cfg(test)]
mod tests;
