//! Runs the golden corpus: corpus-runner CORPUS_FOLDER TARGETS_FILE [PART_OF_A_NAME]. ../../corpus/README.md has the
//! format.
//!
//! prost has no JSON, so prost-reflect translates, by the descriptors in the package of stubs; on the way every
//! message, of calls and of codec steps, is read and written by its generated type. Calls are made by path and with
//! bytes, not with the generated clients: prost drops unknown fields, and some cases send some and look for some.
mod call;
mod matching;

use call::{OpenCall, message, print, through, write};
use matching::*;
use serde_json::{Map, Value, json};
use std::{collections::HashMap, fs, process::ExitCode, time::Duration};
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
type Targets = HashMap<String, (Channel, usize)>;

async fn run(step: &Value, targets: &Targets, calls: &mut HashMap<String, OpenCall>, saved: &Saved) -> Outcome<()> {
    let call = calls.get_mut(text(step.get("to").or(step.get("from")).unwrap_or(&Value::Null)));
    match (text(&step["step"]), call) {
        ("call", _) => {
            let until = Instant::now() + Duration::from_millis(step["withinMs"].as_u64().unwrap_or(0));
            while let Err(reason) = run_call(step, targets, saved).await {
                (Instant::now() < until).then_some(()).ok_or(reason)?;
                sleep(Duration::from_millis(50)).await;
            }
        }
        ("open", _) => {
            drop(calls.insert(text(&step["as"]).into(), OpenCall::new(&targets[text(&step["target"])], step)?))
        }
        ("send", Some(call)) => (0..step["times"].as_u64().unwrap_or(1)).try_for_each(|_| call.send(step))?,
        ("finish", Some(call)) => call.requests = None,
        ("receive", Some(call)) => {
            let start = call.messages.len();
            while call.messages.len() as u64 != start as u64 + step["count"].as_u64().unwrap_or(u64::MAX / 2) {
                let bytes = call.next().await?.ok_or(format!("the call ended: {:?}", call.ending))?;
                call.messages.push(print(&call.method.output(), &bytes)?);
                let until = |until| compare(until, call.messages.last(), saved, "$").is_ok();
                if step.get("until").is_some_and(until) {
                    break;
                }
            }
            check_messages(step, &call.messages[start..], saved)?;
        }
        ("cancel", Some(call)) => call.cancel(),
        ("end", Some(call)) => {
            while let Some(bytes) = call.next().await? {
                call.messages.push(print(&call.method.output(), &bytes)?);
            }
            check_ending(step, call, saved)?;
            check_messages(step, &call.messages, saved)?;
        }
        ("sleep", _) => sleep(Duration::from_millis(step["ms"].as_u64().unwrap_or(0))).await,
        ("codec", _) => run_codec(step, saved)?,
        _ => return Err("the runner does not know this kind of step, or the case has no such open call".into()),
    }
    Ok(())
}

async fn run_call(step: &Value, targets: &Targets, saved: &Saved) -> Outcome<()> {
    let mut call = OpenCall::new(&targets[text(&step["target"])], step)?;
    let came = call.next().await?;
    while call.next().await?.is_some() {}
    check_ending(step, &call, saved)?;
    let Some(bytes) = came else { return Ok(()) };
    let part = decode64(&step["contains"])?;
    if let Some(expect) = step.get("expect") {
        compare(expect, Some(&print(&call.method.output(), &bytes)?), saved, "$")?;
    }
    let is_there = part.is_empty() || bytes.windows(part.len()).any(|window| window == part);
    if is_there { Ok(()) } else { Err(format!("the bytes {} are not in the answer", step["contains"]).into()) }
}

/// Bytes, their message and its JSON are one and the same, whichever of them one begins with.
fn run_codec(step: &Value, saved: &Saved) -> Outcome<()> {
    let (of, wire) = (message(text(&step["type"]))?, decode64(&step["wire"])?);
    for bytes in [wire.clone(), through(&of, &wire)?, write(&of, &step["json"])?] {
        compare(&json!({ "$equal": step["json"] }), Some(&print(&of, &bytes)?), saved, "$")?;
        if step["sameBytes"] == true && bytes != wire {
            return Err(format!("expected the bytes {wire:x?}, got {bytes:x?}").into());
        }
    }
    Ok(())
}

fn check_ending(step: &Value, call: &OpenCall, saved: &Saved) -> Outcome<()> {
    compare(step.get("error").unwrap_or(&json!({ "code": 0 })), call.ending.as_ref(), saved, "the end")
}

fn check_messages(step: &Value, messages: &[Value], saved: &Saved) -> Outcome<()> {
    let mut expect = step["expect"].as_object().cloned().unwrap_or_default();
    let at_paths = |what: &str, join: fn(Vec<Value>) -> Value| -> Map<String, Value> {
        let paths = step["expect"][what].as_object().into_iter().flatten();
        paths.map(|(path, _)| (path.clone(), join(values_at(messages, path)))).collect()
    };
    let joined = at_paths("joined", |parts| parts.iter().map(text).collect::<String>().into());
    let mut found = json!({ "messages": messages, "each": messages, "count": messages.len(), "joined": joined });
    found["gathered"] = at_paths("gathered", Value::from).into();
    if let [first, .., last] | [first @ last] = messages {
        (found["first"], found["last"]) = (first.clone(), last.clone());
    }
    for pattern in expect.remove("some").iter().filter_map(Value::as_array).flatten() {
        compare(&json!({ "$some": pattern }), Some(&found["messages"]), saved, "some")?;
    }
    expect.get_mut("each").into_iter().for_each(|each| *each = json!({ "$each": each.take() }));
    compare(&expect.into(), Some(&found), saved, "$")
}

/// Fails as the case does. Its open calls are cancelled when they are dropped.
async fn run_case(steps: &[Value], targets: &Targets) -> Outcome<()> {
    let (mut calls, saved) = (HashMap::new(), Saved::default());
    if let Some(target) =
        steps.iter().filter_map(|step| step["target"].as_str()).find(|name| !targets.contains_key(*name))
    {
        return Err(format!("there is no target {target}").into());
    }
    for (at, step) in steps.iter().enumerate() {
        let outcome = run(&fill(step, &saved), targets, &mut calls, &saved).await;
        outcome.map_err(|reason| format!("step {}, {}: {reason}", at + 1, text(&step["step"])))?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let read = |file: &str| -> Outcome<Value> { Ok(serde_json::from_str(&fs::read_to_string(file)?)?) };
    let (whole, mut targets) = (read(&format!("{}/corpus.json", args[0]))?, HashMap::new());
    assert_eq!(whole["version"], 1, "the corpus is of another version than this runner");
    for (name, address) in read(&args[1])?.as_object().into_iter().flatten() {
        let channel = Endpoint::from_shared(format!("http://{}", text(address)))?.connect_lazy();
        targets.insert(name.clone(), (channel, whole["receiveLimitBytes"].as_u64().expect("a limit") as usize));
    }
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), Vec::new());
    for file in whole["files"].as_array().into_iter().flatten() {
        for case in read(&format!("{}/{}", args[0], text(file)))?["cases"].as_array().into_iter().flatten() {
            let (name, steps) = (text(&case["name"]), case["steps"].as_array().ok_or("no steps")?);
            if !args.get(2).is_none_or(|part| name.contains(part)) {
                continue;
            }
            let Err(reason) = run_case(steps, &targets).await.map_err(|reason| reason.to_string()) else {
                println!("ok {name}");
                passed += 1;
                continue;
            };
            let is_skipped = reason.starts_with("there is no target");
            println!("{} {name} {reason}", if is_skipped { "skip" } else { "FAIL" });
            if is_skipped { &mut skipped } else { &mut failed }.push(json!({ "name": name, "reason": reason }));
        }
    }
    println!("{{\"passed\": {passed}, \"failed\": {}, \"skipped\": {}}}", json!(failed), json!(skipped));
    Ok(ExitCode::from(u8::from(!failed.is_empty())))
}
