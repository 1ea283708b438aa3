//! The application ID of a person's form is the same each time it is asked for, nobody without the index key
//! can make or guess it, and what is stored does not tell it.

use tonic::Request;

use crate::{
    domain::{
        identity::Role,
        item::{Hold, HoldKind, ItemKey, ItemKind},
        municipality::MunicipalityCode,
        rules::ApplicationId,
    },
    store::{Decided, Found},
    vault::BlindIndex,
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::super::{
    caller::{not_yours, one_of, whose},
    core::{Core, store_fault},
    deadline::Deadline,
    mutation::{Mutation, id_of, not_after_restore},
};

/// Random digits of an application ID.
const DIGITS: usize = 21;
/// One above the largest number that they stand for.
const NUMBERS: u128 = 10u128.pow(21);

/// Notes that a form is printed, and returns the ID for it.
pub(super) async fn issue(
    core: &Core,
    request: Request<pb::IssueFormRequest>,
) -> Result<ApplicationId, Fault> {
    let caller = one_of(&request, &[Role::Municipality, Role::Producer])?;
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let common = (request.request_id.as_str(), request.occurred_time.as_ref());
    let mutation = Mutation::of(core, &caller, "IssueFormRequest", &request, common)?;
    let municipality = whose(&caller, Some(&request.municipality_code))?;
    let order_id = id_of(&request.order_id, "order_id")?;
    not_after_restore(core, &caller, deadline).await?;
    let order = core.store.card_by_order_id(municipality, order_id.as_str());
    deadline.wait(order).await?.map_err(store_fault)?.ok_or_else(not_yours)?;
    let id = application_id(core, municipality, order_id.as_str());
    let (hold, occurred_ms) = (hold(index(core, municipality, &id)), mutation.occurred_ms);
    let key = ItemKey { municipality, kind: ItemKind::Form, id: order_id.clone() };
    let decide = move |found: &Found| {
        // That two of four million persons have one ID happens to one municipality in a hundred million.
        if found.held.get(&hold).is_some_and(|form| *form != order_id) {
            let words = "this form's ID is another's: tell the operator";
            return Err(Fault::new(Reason::Internal, words));
        }
        Ok(Decided {
            events: vec![(occurred_ms, r#"{"event":"ISSUE"}"#.to_owned())],
            state: "ISSUED".to_owned(),
            since_ms: found.item.as_ref().map_or(occurred_ms, |item| item.since_ms),
            cards: 1,
            details: "{}".to_owned(),
            take: vec![hold],
            ..Decided::default()
        })
    };
    mutation.change(core, deadline, key, vec![hold], decide).await?;
    Ok(id)
}

/// What an ID is looked up by.
pub(super) fn index(core: &Core, municipality: MunicipalityCode, id: &ApplicationId) -> BlindIndex {
    core.vault.blind_index(municipality, "application_id", &id.to_string())
}

/// The hold by which an ID belongs to the form of one order.
pub(super) fn hold(index: BlindIndex) -> Hold {
    Hold { kind: HoldKind::ApplicationId, of: index }
}

/// The ID of an order's form.
///
/// Its digits come from HMAC-SHA-256 under the secret index key, which nobody without the key can tell from a
/// CSPRNG: so the same order has the same ID, and it is stored nowhere.
fn application_id(core: &Core, municipality: MunicipalityCode, order_id: &str) -> ApplicationId {
    let random = digits(core.vault.blind_index(municipality, "application_form", order_id));
    ApplicationId::of_random(random).expect("each is a remainder of ten")
}

/// The last 21 decimal digits of 256 random bits. As 2^256 is no multiple of 10^21 some numbers are likelier
/// than others, by less than one part in 2^180.
fn digits(random: BlindIndex) -> [u8; DIGITS] {
    let number = random.iter().fold(0, |rest: u128, byte| (rest * 256 + u128::from(*byte)) % NUMBERS);
    let mut left = number;
    let mut digits = [0; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = u8::try_from(left % 10).expect("a digit");
        left /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(random: BlindIndex) -> String {
        digits(random).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn digits_are_the_big_endian_number_modulo_ten_to_the_21st() {
        let mut random = [0; 32];
        assert_eq!(of(random), "0".repeat(21));
        random[31] = 97;
        assert_eq!(of(random), format!("{:0>21}", 97));
        // 2^256 - 1 = …457 584 007 913 129 639 935
        assert_eq!(of([0xff; 32]), "457584007913129639935");
        random = [0; 32];
        random[23] = 1; // 2^64
        assert_eq!(of(random), format!("{:0>21}", 18_446_744_073_709_551_616_u128));
    }
}
