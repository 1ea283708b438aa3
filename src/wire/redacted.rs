//! The debug form of messages with personal data says which they are and shows nothing of a person, so that
//! no log line that prints a message can.

use std::fmt;

use super::pb::{
    Chunk, CorrectReadingRequest, GetCardRequest, IssueFormResponse, PersonalData, SubmitApplicationRequest,
    get_card_request::Key,
};

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Chunk");
        shown.field("chunk_number", &self.chunk_number).field("payload_bytes", &self.payload.len());
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for PersonalData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersonalData").finish_non_exhaustive()
    }
}

impl fmt::Debug for GetCardRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetCardRequest").field("key", &self.key).field("purpose", &self.purpose()).finish()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::OrderId(order_id) => f.debug_tuple("OrderId").field(order_id).finish(),
            Key::CardId(card_id) => f.debug_tuple("CardId").field(card_id).finish(),
            Key::IndividualNumber(_) => f.write_str("IndividualNumber(..)"),
        }
    }
}

impl fmt::Debug for CorrectReadingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorrectReadingRequest").field("order_id", &self.order_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for IssueFormResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssueFormResponse").finish_non_exhaustive()
    }
}

impl fmt::Debug for SubmitApplicationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitApplicationRequest")
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::pb::{Card, GetCardResponse, UploadChunksRequest, upload_chunks_request::Frame};

    const NAME: &str = "カナリヤ";

    #[test]
    fn no_message_with_personal_data_shows_it() {
        let text = || NAME.to_owned();
        let data = PersonalData {
            name: text(),
            substitute_name: text(),
            reading: text(),
            reading_source: text(),
            birth_date: text(),
            sex: text(),
            address: text(),
            delivery_address: text(),
            individual_number: text(),
        };
        let card = Card { personal_data: Some(data), ..Card::default() };
        let card = format!("{:?}", GetCardResponse { card: Some(card), events: Vec::new() });
        assert!(card.contains("PersonalData { .. }") && !card.contains(NAME), "{card}");
        let asked =
            GetCardRequest { key: Some(Key::IndividualNumber(text())), purpose: 0, with_history: false };
        let asked = format!("{asked:?}");
        assert!(asked.contains("IndividualNumber(..)") && !asked.contains(NAME), "{asked}");
        let corrected = CorrectReadingRequest { reading: text(), ..CorrectReadingRequest::default() };
        let form = IssueFormResponse { application_id: text() };
        let applied = SubmitApplicationRequest {
            application_id: text(),
            birth_date: text(),
            ..SubmitApplicationRequest::default()
        };
        for shown in [format!("{corrected:?}"), format!("{form:?}"), format!("{applied:?}")] {
            assert!(!shown.contains(NAME), "{shown}");
        }
        let payload = NAME.as_bytes().to_vec().into();
        let chunk = Chunk { chunk_number: 7, root: Vec::new(), payload };
        let frame = format!("{:?}", UploadChunksRequest { frame: Some(Frame::Chunk(chunk)) });
        assert!(
            frame.contains("chunk_number: 7, payload_bytes: 12, ..") && !frame.contains("227"),
            "{frame}"
        );
    }
}
