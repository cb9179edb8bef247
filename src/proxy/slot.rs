//! A head of our own in place of the one that Pingora writes, which would put its own `Date` on it (cache.md 0.4). It leaves together
//! with the body that follows, in one call to the kernel.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// What is written instead.
#[derive(Debug, Default)]
pub enum Slot {
    /// Nothing: what is written is written.
    #[default]
    Empty,
    /// This head, in place of what is written next.
    Filled(Bytes),
    /// What is left of this head, before what is written next.
    Held(Bytes),
}

impl Slot {
    /// Whether a write is no business of the slot.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Takes back a head that nobody has asked to write: it must not stand in for another answer's.
    pub fn take_back(&mut self) {
        if matches!(self, Self::Filled(_)) {
            *self = Self::Empty;
        }
    }

    /// A write through the slot.
    pub fn poll_write<W: AsyncWrite + Unpin>(&mut self, mut to: W, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Empty => Pin::new(&mut to).poll_write(cx, bytes),
            Self::Filled(head) => {
                // one head is one write: all of it is taken for written, ours waits for what comes next
                *self = Self::Held(std::mem::take(head));
                Poll::Ready(Ok(bytes.len()))
            }
            Self::Held(head) => loop {
                let both = [IoSlice::new(head), IoSlice::new(bytes)];
                let written = ready!(Pin::new(&mut to).poll_write_vectored(cx, &both))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                let of_head = written.min(head.len());
                head.advance(of_head);
                if head.is_empty() {
                    *self = Self::Empty;
                    // nothing written is an error to whoever asked
                    return if written > of_head { Poll::Ready(Ok(written - of_head)) } else { Pin::new(&mut to).poll_write(cx, bytes) };
                }
            },
        }
    }

    /// Writes what is held: nothing follows.
    pub fn poll_flush<W: AsyncWrite + Unpin>(&mut self, mut to: W, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Self::Held(head) = self {
            let written = ready!(Pin::new(&mut to).poll_write(cx, head))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            head.advance(written);
            if head.is_empty() {
                *self = Self::Empty;
            }
        }
        Pin::new(&mut to).poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Takes at most so many bytes at once, and says `Pending` before each.
    #[derive(Default)]
    struct Slow {
        taken: Vec<u8>,
        most: usize,
        calls: usize,
        ready: bool,
    }

    impl Slow {
        fn take(&mut self, cx: &Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
            self.ready = !self.ready;
            if !self.ready {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.calls += 1;
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).take(self.most).collect();
            self.taken.extend_from_slice(&bytes);
            Poll::Ready(Ok(bytes.len()))
        }
    }

    impl AsyncWrite for Slow {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.take(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
            self.take(cx, parts)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    struct Through<'a>(&'a mut Slow, Slot);

    impl AsyncWrite for Through<'_> {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let Self(to, slot) = &mut *self;
            slot.poll_write(&mut **to, cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            let Self(to, slot) = &mut *self;
            slot.poll_flush(&mut **to, cx)
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #[test]
        fn however_little_is_taken_at_once_ours_comes_once_and_before_the_body(
            head in prop::collection::vec(any::<u8>(), 1..40), body in prop::collection::vec(any::<u8>(), 0..60), most in 1_usize..120,
        ) {
            let mut slow = Slow { most, ..Slow::default() };
            let mut through = Through(&mut slow, Slot::Filled(head.clone().into()));
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                through.write_all(b"a head of another's").await.expect("written");
                through.write_all(&body).await.expect("written");
                through.flush().await.expect("flushed");
                assert!(through.1.is_empty());
                through.write_all(b"next").await.expect("written");
            });
            let all = [&head[..], &body, b"next"].concat();
            prop_assert_eq!(&slow.taken, &all);
            if most >= head.len() + body.len() {
                prop_assert_eq!(slow.calls, 2, "head and body are one write");
            }
        }
    }

    #[test]
    fn only_what_was_not_asked_for_is_taken_back() {
        let mut slot = Slot::Filled(Bytes::from_static(b"head"));
        slot.take_back();
        assert!(slot.is_empty());
        let mut held = Slot::Held(Bytes::from_static(b"head"));
        held.take_back();
        assert!(!held.is_empty());
    }
}
