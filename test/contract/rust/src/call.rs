use crate::{Outcome, matching::*};
use prost::{DecodeError, Message, Name, bytes::Buf, bytes::BufMut};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json, to_value};
use std::{collections::HashMap, sync::LazyLock, time::Duration};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::{Request, Status, client::Grpc, metadata::AsciiMetadataKey, transport::Channel};

type Through = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(stator_stubs::FILE_DESCRIPTOR_SET).expect("descriptors"));
static TYPES: LazyLock<HashMap<String, Through>> = LazyLock::new(|| include!(concat!(env!("OUT_DIR"), "/types.rs")));

fn row<M: Message + Name + Default>() -> (String, Through) {
    (M::full_name(), |bytes| Ok(M::decode(bytes)?.encode_to_vec()))
}

pub fn message(name: &str) -> Outcome<MessageDescriptor> {
    Ok(POOL.get_message_by_name(name).ok_or(format!("the stubs have no message {name}"))?)
}

/// Bytes as the generated type reads and writes them.
pub fn through(of: &MessageDescriptor, bytes: &[u8]) -> Outcome<Vec<u8>> {
    Ok(TYPES[of.full_name()](bytes)?)
}

pub fn print(of: &MessageDescriptor, bytes: &[u8]) -> Outcome<Value> {
    Ok(to_value(DynamicMessage::decode(of.clone(), &*through(of, bytes)?)?)?)
}

pub fn write(of: &MessageDescriptor, json: &Value) -> Outcome<Vec<u8>> {
    through(of, &DynamicMessage::deserialize(of.clone(), json)?.encode_to_vec())
}

/// A call of any kind. It is under way from the start, but nobody polls for an answer before one is wanted.
pub struct OpenCall {
    pub method: MethodDescriptor,
    pub requests: Option<mpsc::UnboundedSender<Vec<u8>>>,
    opening: JoinSet<Result<Streaming<Vec<u8>>, Status>>,
    answers: Option<Streaming<Vec<u8>>>,
    pub messages: Vec<Value>,
    pub ending: Option<Value>,
}

impl OpenCall {
    pub fn new((channel, limit): &(Channel, usize), step: &Value) -> Outcome<Self> {
        let (name, path) = (text(&step["method"]), format!("/{}", text(&step["method"])).parse()?);
        let mut methods = POOL.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let method = methods.find(|method| method.full_name() == name.replace('/', "."));
        let method = method.ok_or(format!("the stubs have no method {name}"))?;
        let (requests, stream) = mpsc::unbounded_channel();
        let mut request = Request::new(UnboundedReceiverStream::new(stream));
        for (key, value) in step["metadata"].as_object().into_iter().flatten() {
            request.metadata_mut().insert(key.parse::<AsciiMetadataKey>()?, text(value).parse()?);
        }
        step["deadlineMs"].as_u64().inspect(|ms| request.set_timeout(Duration::from_millis(*ms)));
        let mut client = Grpc::new(channel.clone()).max_decoding_message_size(*limit);
        let mut opening = JoinSet::new();
        opening.spawn(async move {
            client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            Ok(client.streaming(request, path, Raw).await?.into_inner())
        });
        let is_open = method.is_client_streaming() && step.get("request").is_none();
        let (requests, messages) = (Some(requests), Vec::new());
        let mut call = Self { method, requests, opening, answers: None, messages, ending: None };
        if !is_open {
            call.send(step)?;
            call.requests = None;
        }
        Ok(call)
    }

    pub fn send(&mut self, step: &Value) -> Outcome<()> {
        let request = write(&self.method.input(), step.get("request").unwrap_or(&json!({})))?;
        Ok(self.requests.as_ref().ok_or("it is finished")?.send([request, decode64(&step["append"])?].concat())?)
    }

    pub fn cancel(&mut self) {
        (self.opening, self.answers, self.ending) = (JoinSet::new(), None, Some(json!({ "code": 1 })));
    }

    /// The bytes of the next message; none when the call has ended: code, sentence, and the ErrorDetail of the status.
    pub async fn next(&mut self) -> Outcome<Option<Vec<u8>>> {
        if self.ending.is_some() {
            return Ok(None);
        }
        let status = match timeout(Duration::from_secs(20), self.read()).await? {
            Ok(Some(bytes)) => return Ok(Some(bytes)),
            Ok(None) => Status::ok(""),
            // So tonic says it when a call's deadline is over before anything came.
            Err(status) if status.message() == "Timeout expired" => Status::deadline_exceeded("by tonic's clock"),
            Err(status) => status,
        };
        let mut ending = json!({ "code": status.code() as i32, "message": status.message() });
        for any in tonic_types::Status::decode(status.details())?.details {
            if any.type_url.ends_with("/stator.common.v1.ErrorDetail") {
                ending["detail"] = print(&message("stator.common.v1.ErrorDetail")?, &any.value)?;
            }
        }
        self.ending = Some(ending);
        Ok(None)
    }

    async fn read(&mut self) -> Result<Option<Vec<u8>>, Status> {
        if let Some(opened) = self.opening.join_next().await {
            self.answers = Some(opened.map_err(|error| Status::internal(error.to_string()))??);
        }
        self.answers.as_mut().expect("answers").message().await
    }
}

/// Messages as bytes.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;
    fn encoder(&mut self) -> Raw {
        Raw
    }
    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;
    fn encode(&mut self, bytes: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(to.put_slice(&bytes))
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).into()))
    }
}
