//! The PROXY protocol, version 2 (HAProxy, proxy-protocol.txt, section 2.2): who a listed proxy speaks for.
//! Read before anything else on a connection; whatever is not exactly the header ends it.

use std::{
    io::{Error, ErrorKind, Result},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Addresses and extensions; 536 is what a proxy may send without knowing better (section 2.2).
const LONGEST: usize = 2048;

/// The source address that the header names; none when the proxy speaks for itself (command LOCAL).
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<IpAddr>> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let [signature @ .., version_and_command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if signature != SIGNATURE || length > LONGEST {
        return Err(malformed());
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match (version_and_command, family) {
        (0x20, _) => Ok(None),
        (0x21, 0x11) => Ok(Some(IpAddr::V4(Ipv4Addr::from(source::<4>(&rest, 12)?)))),
        (0x21, 0x21) => Ok(Some(IpAddr::V6(Ipv6Addr::from(source::<16>(&rest, 36)?)).to_canonical())),
        _ => Err(malformed()),
    }
}

fn source<const N: usize>(rest: &[u8], least: usize) -> Result<[u8; N]> {
    if rest.len() < least {
        return Err(malformed());
    }
    rest.first_chunk().copied().ok_or_else(malformed)
}

fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "not a PROXY header of version 2")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        header.extend(rest);
        header
    }

    #[tokio::test]
    async fn the_source_is_read_and_nothing_after_it() {
        let mut v4 = header(0x21, 0x11, &[203, 0, 113, 9, 10, 0, 0, 1, 0, 80, 1, 187, 3, 0, 1, 9]);
        v4.extend(b"GET");
        let mut stream = v4.as_slice();
        assert_eq!(read(&mut stream).await.unwrap(), Some("203.0.113.9".parse().unwrap()));
        assert_eq!(stream, b"GET");
        let v6 = [Ipv6Addr::LOCALHOST.octets().as_slice(), &[0; 20]].concat();
        assert_eq!(read(&mut header(0x21, 0x21, &v6).as_slice()).await.unwrap(), Some("::1".parse().unwrap()));
        assert_eq!(read(&mut header(0x20, 0, &[]).as_slice()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let truncated = header(0x21, 0x11, &[203, 0, 113, 9]);
        let other = [header(0x31, 0x11, &[0; 12]), header(0x22, 0x11, &[0; 12]), header(0x21, 0x31, &[0; 216])];
        let long = header(0x21, 0x11, &[0; 4096]);
        let plain = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
        let version_1 = b"PROXY TCP4 203.0.113.9 10.0.0.1 80 443\r\n".to_vec();
        for bytes in other.into_iter().chain([truncated, long, plain, version_1, SIGNATURE.to_vec()]) {
            assert!(read(&mut bytes.as_slice()).await.is_err(), "{bytes:?}");
        }
    }
}
