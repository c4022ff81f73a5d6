//! Bodies that layers put around a response's.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::HeaderMap;
use http_body::{Frame, SizeHint};
use hyper::body::Bytes;
use tonic::{Code, Status, body::Body};

type Polled = Poll<Option<Result<Frame<Bytes>, Status>>>;

/// Holds something until the body has been sent or dropped.
pub(crate) struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Send + Unpin + 'static> Holding<T> {
    pub(crate) fn around(body: Body, held: T) -> Body {
        Body::new(Self { body, _held: held })
    }
}

impl<T: Unpin> http_body::Body for Holding<T> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response body that ends with a status of its own when something happens, between two messages.
///
/// tonic hands out whole messages per frame, so what has been sent stays readable.
pub(crate) struct Until {
    body: Body,
    end: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
    status: Option<Status>,
    /// Frames that may still follow once it has happened, as long as they are there already.
    linger: u32,
    over: bool,
}

impl Until {
    pub(crate) fn around(body: Body, end: impl Future<Output = Status> + Send + 'static, linger: u32) -> Body {
        Body::new(Self { body, end: Some(Box::pin(end)), status: None, linger, over: false })
    }

    fn finish(&mut self, status: &Status) -> Polled {
        self.over = true;
        // Dropped now: the handler's stream stops working for nobody.
        self.body = Body::empty();
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }
}

impl http_body::Body for Until {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        if let Some(end) = &mut this.end
            && let Poll::Ready(status) = end.as_mut().poll(cx)
        {
            this.end = None;
            this.status = Some(status);
        }
        match this.status.take() {
            None => Pin::new(&mut this.body).poll_frame(cx),
            Some(status) if this.linger == 0 => this.finish(&status),
            // A handler that saw the same sign ends its stream itself, in its own words: it is asked first.
            Some(status) => match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(frame) => {
                    this.linger -= 1;
                    this.status = Some(status);
                    Poll::Ready(frame)
                }
                Poll::Pending => this.finish(&status),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || (self.status.is_none() && self.body.is_end_stream())
    }
}

/// Tells once how a call ended, from its headers, its trailers or its being dropped.
pub(crate) struct Measured<F: FnMut(Code) + Send + Unpin + 'static> {
    body: Body,
    tell: Option<F>,
}

impl<F: FnMut(Code) + Send + Unpin + 'static> Measured<F> {
    /// A response whose headers hold a status already is told at once.
    pub(crate) fn around(response: http::Response<Body>, mut tell: F) -> http::Response<Body> {
        if let Some(code) = code_in(response.headers()) {
            tell(code);
            return response;
        }
        response.map(|body| Body::new(Self { body, tell: Some(tell) }))
    }

    fn told(&mut self, code: Code) {
        if let Some(mut tell) = self.tell.take() {
            tell(code);
        }
    }
}

impl<F: FnMut(Code) + Send + Unpin + 'static> http_body::Body for Measured<F> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(code) = frame.trailers_ref().and_then(code_in) {
                    self.told(code);
                }
            }
            Some(Err(status)) => self.told(status.code()),
            None => self.told(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<F: FnMut(Code) + Send + Unpin + 'static> Drop for Measured<F> {
    fn drop(&mut self) {
        self.told(Code::Cancelled);
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// A request body that may hold at most so many bytes.
pub(crate) struct AtMost {
    body: Body,
    left: usize,
    refusal: fn() -> Status,
}

impl AtMost {
    pub(crate) fn around(body: Body, bytes: usize, refusal: fn() -> Status) -> Body {
        Body::new(Self { body, left: bytes, refusal })
    }
}

impl http_body::Body for AtMost {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let size = frame.data_ref().map_or(0, Bytes::len);
            match self.left.checked_sub(size) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err((self.refusal)()))),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
