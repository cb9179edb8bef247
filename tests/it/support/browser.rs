//! A real Chromium, driven over its debugging protocol (CDP) on a pair of pipes: no driver, no port.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::{PATIENCE, until};

/// A browser with one page; it ends when dropped.
pub struct Page {
    child: Child,
    pipe: ChildStdin,
    messages: UnboundedReceiver<Value>,
    sent: u64,
    session: Option<String>,
    /// What the browser told unasked: exceptions, errors on its console, requests.
    pub events: Vec<Value>,
    _profile: TempDir,
}

impl Page {
    /// Starts a browser whose page is at a URL, and of this size in CSS pixels.
    pub async fn open(url: &str, (width, height): (u32, u32)) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("sh");
        // commands come on descriptor 3, answers go to 4
        command.arg("-c").arg("exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1").arg("chromium");
        command.args([
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]);
        command.args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).env("HOME", profile.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh");
        let (pipe, out) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (send, messages) = unbounded_channel();
        std::thread::spawn(move || {
            let parts = BufReader::new(out).split(0).map_while(Result::ok);
            parts.filter_map(|part| serde_json::from_slice(&part).ok()).try_for_each(|message| send.send(message)).ok();
        });
        let mut page = Self { child, pipe, messages, sent: 0, session: None, events: Vec::new(), _profile: profile };
        let target = page.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attached = page.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true })).await;
        page.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        page.resize(width, height).await;
        page.call("Page.navigate", json!({ "url": url })).await;
        page.until("document.readyState === 'complete' && location.href !== 'about:blank'").await;
        page
    }

    /// Calls a method of the protocol.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let mut message = json!({ "id": self.sent, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.pipe.write_all(format!("{message}\0").as_bytes()).expect("chromium runs: run scripts/setup.sh test");
        loop {
            let next = timeout(PATIENCE, self.messages.recv()).await.unwrap_or_else(|_| panic!("{method}: no answer"));
            let message = next.expect("chromium runs: run scripts/setup.sh test");
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    /// The value of an expression in the page.
    pub async fn eval(&mut self, expression: &str) -> Value {
        let answer = self.call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true, "awaitPromise": true })).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// The text of the element with an id.
    pub async fn text(&mut self, id: &str) -> String {
        self.eval(&format!("document.getElementById('{id}').innerText")).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true.
    pub async fn until(&mut self, expression: &str) {
        let page = tokio::sync::Mutex::new(self);
        until(expression, async || (page.lock().await.eval(&format!("!!({expression})")).await == true).then_some(())).await;
    }

    /// Another size; below 500 pixels it is a phone.
    pub async fn resize(&mut self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Another colour scheme: `light` or `dark`.
    pub async fn scheme(&mut self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// Presses a key.
    pub async fn press(&mut self, key: &str) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": if key == "Enter" { 13 } else { 9 } });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// A picture of the whole page, in `target/tmp/page`, to be looked at.
    pub async fn shoot(&mut self, name: &str) {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true })).await;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
        std::fs::create_dir_all(&folder).expect("a folder");
        let png = STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        assert!(png.len() > 10_000, "{name}: a picture of nothing");
        std::fs::write(folder.join(format!("{name}.png")), png).expect("writable");
    }

    /// The parameters of all events of a kind so far.
    pub fn told(&self, method: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["method"] == method).map(|event| &event["params"]).collect()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the page: {:#?} {:#?}", self.told("Runtime.exceptionThrown"), self.told("Log.entryAdded"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
