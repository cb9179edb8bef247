//! Bare Pingora that gives the same answer to every request: what a hit is measured against (`benches/load/hits.py`).
//! Arguments: address, bytes of body.

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::prelude::{HttpPeer, ProxyHttp, Result, Server, Session, http_proxy_service};
use pingora::{Error, ErrorType};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

struct Fixed(Bytes);

#[async_trait]
impl ProxyHttp for Fixed {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<bool> {
        let mut head = ResponseHeader::build(200, Some(4))?;
        head.insert_header("Content-Type", "application/json")?;
        head.insert_header("Content-Length", self.0.len())?;
        session.write_response_header(head.into(), false).await?;
        session.write_response_body(Some(self.0.clone()), true).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Error::e_explain(ErrorType::InternalError, "answered before")
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("an address");
    let bytes = arguments.next().and_then(|text| text.parse().ok()).expect("a number of bytes");
    let mut server = Server::new(None).expect("no configuration to be wrong");
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Fixed(vec![b'x'; bytes].into()));
    service.add_tcp(&address);
    server.add_service(service);
    server.run_forever();
}
