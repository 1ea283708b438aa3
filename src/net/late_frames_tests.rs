//! Promise: however the bytes come, what is read is what was sent, but for WINDOW_UPDATE of streams that were
//! begun after the client's answer to the order to go.

use std::task::Waker;

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

const PREFACE_BYTES: &[u8; PREFACE] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const NEVER: usize = usize::MAX;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn answer() -> Vec<u8> {
    frame(PING, ACK, 0, &SHUTDOWN)
}

/// What a client sends, in pieces as long as `pieces` says, over and over; it is asked to go when the first
/// `asked_at` bytes were read.
struct Sent<'a> {
    bytes: &'a [u8],
    pieces: Vec<usize>,
    asked_at: usize,
    at: usize,
    reads: usize,
    leaving: Arc<AtomicBool>,
}

impl AsyncRead for Sent<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (me, left) = (&mut *self, out.remaining());
        me.leaving.store(me.at >= me.asked_at, Relaxed);
        let before_asked = if me.at < me.asked_at { me.asked_at - me.at } else { NEVER };
        let piece = me.pieces[me.reads % me.pieces.len()];
        let n = piece.min(left).min(before_asked).min(me.bytes.len() - me.at);
        out.put_slice(&me.bytes[me.at..me.at + n]);
        (me.at, me.reads) = (me.at + n, me.reads + 1);
        Poll::Ready(Ok(()))
    }
}

/// Reads all of it, with spaces as long as `spaces` says, over and over.
fn read(bytes: &[u8], asked_at: usize, pieces: &[usize], spaces: &[usize]) -> Vec<u8> {
    let leaving = Arc::default();
    let sent = Sent { bytes, pieces: pieces.to_vec(), asked_at, at: 0, reads: 0, leaving };
    let (mut guarded, leaving) = LateFrames::new(sent);
    guarded.io.leaving = leaving.0;
    let mut cx = Context::from_waker(Waker::noop());
    let mut got = Vec::new();
    for space in spaces.iter().cycle() {
        let mut space = vec![0; *space];
        let mut out = ReadBuf::new(&mut space);
        let Poll::Ready(Ok(())) = Pin::new(&mut guarded).poll_read(&mut cx, &mut out) else {
            panic!("there is more, or an end");
        };
        if out.filled().is_empty() {
            break;
        }
        got.extend_from_slice(out.filled());
    }
    got
}

/// Kind and stream of a frame whose head is whole.
fn head(frame: &[u8]) -> Option<(u8, u32)> {
    let stream = frame.get(5..HEAD)?.try_into().expect("four bytes");
    Some((frame[3], u32::from_be_bytes(stream) & 0x7fff_ffff))
}

/// What of `frames` is to be read, by the promise; the last of them may be cut off.
fn promised(frames: &[Vec<u8>], asked_at: usize) -> Vec<u8> {
    let (mut answered, mut last) = (false, 0);
    let mut bytes = PREFACE_BYTES.to_vec();
    let mut at = bytes.len();
    for frame in frames {
        at += frame.len();
        match head(frame) {
            Some((WINDOW_UPDATE, stream)) if answered && stream > last => continue,
            Some((HEADERS, stream)) if !answered => last = last.max(stream),
            Some((PING, _)) if at > asked_at => answered |= *frame == answer(),
            _ => {}
        }
        bytes.extend_from_slice(frame);
    }
    bytes
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stream = || prop_oneof![0..12u32, Just(0x8000_0003), Just(0x7fff_ffff)];
    prop_oneof![
        4 => stream().prop_map(|stream| frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 9])),
        3 => (stream(), vec(any::<u8>(), 0..40))
            .prop_map(|(stream, block)| frame(HEADERS, 4, stream, &block)),
        2 => (0..2u8).prop_map(|ack| frame(PING, ack, 0, &SHUTDOWN)),
        1 => vec(any::<u8>(), 8).prop_map(|other| frame(PING, ACK, 0, &other)),
        2 => (0..12u8, any::<u8>(), stream(), vec(any::<u8>(), 0..40))
            .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload)),
        1 => Just(frame(0, 0, 1, &[b'd'; 5_000])),
    ]
}

fn cut_off(mut frames: Vec<Vec<u8>>, keep: usize) -> Vec<Vec<u8>> {
    if let Some(last) = frames.last_mut() {
        last.truncate(keep);
    }
    frames
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    vec(select(vec![1, 2, 5, 8, 9, 10, 13, 17, 30, 100, 10_000]), 1..6)
}

fn sent(frames: &[Vec<u8>]) -> Vec<u8> {
    [&PREFACE_BYTES[..], &frames.concat()].concat()
}

proptest! {
    #[test]
    fn whatever_the_pieces_only_late_windows_are_missing(
        frames in vec(any_frame(), 0..20),
        keep in prop_oneof![Just(NEVER), 0..20usize],
        asked_at in prop_oneof![Just(0), Just(NEVER), 0..600usize],
        pieces in lengths(),
        spaces in lengths(),
    ) {
        let frames = cut_off(frames, keep);
        let got = read(&sent(&frames), asked_at, &pieces, &spaces);
        prop_assert!(got == promised(&frames, asked_at));
    }

    #[test]
    fn nothing_is_missing_for_a_client_that_is_not_asked_to_go(
        bytes in vec(any::<u8>(), 0..300),
        frames in vec(any_frame(), 0..20),
        pieces in lengths(),
        spaces in lengths(),
    ) {
        prop_assert!(read(&bytes, NEVER, &pieces, &spaces) == bytes);
        prop_assert!(read(&sent(&frames), NEVER, &pieces, &spaces) == sent(&frames));
    }
}

#[test]
fn in_one_piece_with_the_answer_only_the_window_of_the_late_stream_is_taken_out() {
    let widen = |stream| frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 9]);
    let before = [frame(HEADERS, 4, 5, b"call"), widen(7), answer()].concat();
    let (late, after) = (frame(HEADERS, 4, 7, b"late"), [widen(0), widen(5), frame(0, 1, 7, b"")].concat());
    let bytes = [&PREFACE_BYTES[..], &before, &late, &widen(7), &after, &widen(9)].concat();
    let wanted = [&PREFACE_BYTES[..], &before, &late, &after].concat();
    assert_eq!(read(&bytes, 0, &[10_000], &[10_000]), wanted);
    assert_eq!(read(&bytes, NEVER, &[10_000], &[10_000]), bytes);
}
