//! A page token is opaque to callers and refused unless it is one that this API wrote for the same list.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

use crate::wire::fault::{Fault, Reason};

/// Writes the token that goes on after `position` in the list named `list`.
pub(crate) fn token(list: &str, position: &str) -> String {
    BASE64.encode(format!("v1 {list} {position}"))
}

/// Reads the position out of a token; `None` for the first page.
pub(crate) fn position(list: &str, token: &str) -> Result<Option<String>, Fault> {
    if token.is_empty() {
        return Ok(None);
    }
    let text = BASE64.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.as_deref()
        .and_then(|text| text.strip_prefix("v1 ")?.strip_prefix(list)?.strip_prefix(' '))
        .map(|position| Some(position.to_owned()))
        .ok_or_else(invalid)
}

/// Like [`position`], for lists that go by a number.
pub(crate) fn number(list: &str, token: &str) -> Result<Option<u64>, Fault> {
    position(list, token)?.map(|text| text.parse().map_err(|_| invalid())).transpose()
}

/// The fault of a token that is none.
pub(crate) fn invalid() -> Fault {
    Fault::new(Reason::PageTokenInvalid, "page_token is none of this list: start again without one")
        .violation("page_token", "must be the next_page_token of the page before, or empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_list_only() {
        assert_eq!(number("gaps", &token("gaps", "17")), Ok(Some(17)));
        assert_eq!(number("gaps", ""), Ok(None));
        for bad in [token("cards", "17"), token("gaps", "x"), "!!".to_owned(), "AAAA".to_owned()] {
            assert_eq!(number("gaps", &bad).expect_err("bad").reason, Reason::PageTokenInvalid);
        }
    }
}
