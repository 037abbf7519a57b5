use crate::Outcome;
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Map, Value, json};
use std::cell::RefCell;

/// What a case saved, by its names.
pub type Saved = RefCell<Map<String, Value>>;

/// Libraries print a float with as many digits as they like: numbers this close, as a share, are equal.
const CLOSE: f64 = 1e-7;

/// Fails where a value does not match a pattern, with the path to the place.
pub fn compare(pattern: &Value, value: Option<&Value>, saved: &Saved, path: &str) -> Outcome<()> {
    let each = |(at, (part, value))| compare(part, Some(value), saved, &format!("{path}[{at}]"));
    let matcher = pattern.as_object().and_then(|fields| fields.iter().find(|(key, _)| key.starts_with('$')));
    let is_match = match (matcher.map(|(key, given)| (key.as_str(), given)), pattern, value) {
        (Some(("$absent", _)), _, value) => value.is_none(),
        (Some(("$present", _)), _, value) => value.is_some(),
        (Some(("$equal", given)), _, Some(value)) => equal(given, value),
        (Some(("$not", given)), _, Some(value)) => !equal(given, value),
        (Some(("$count", given)), _, Some(Value::Array(parts))) => *given == json!(parts.len()),
        (Some(("$count", given)), _, Some(Value::Object(fields))) => *given == json!(fields.len()),
        (Some(("$bytes", given)), _, Some(value)) => *given == json!(decode64(value)?.len()),
        (Some(("$save", given)), _, Some(value)) => {
            saved.borrow_mut().insert(text(given).into(), value.clone());
            true
        }
        (Some(("$some", given)), _, Some(Value::Array(parts))) => {
            parts.iter().any(|part| compare(given, Some(part), saved, path).is_ok())
        }
        (Some(("$each", given)), _, Some(Value::Array(parts))) => {
            return parts.iter().map(|part| (given, part)).enumerate().try_for_each(each);
        }
        (None, Value::Array(parts), Some(Value::Array(values))) if parts.len() == values.len() => {
            return parts.iter().zip(values).enumerate().try_for_each(each);
        }
        (None, Value::Object(fields), Some(Value::Object(values))) => {
            let field = |(name, part): (&String, _)| compare(part, values.get(name), saved, &format!("{path}.{name}"));
            return fields.iter().try_for_each(field);
        }
        (None, pattern, Some(value)) => equal(pattern, value),
        _ => false,
    };
    let got = value.map_or("nothing".into(), Value::to_string);
    if is_match { Ok(()) } else { Err(format!("{path}: expected {:.400}, got {got:.400}", pattern.to_string()).into()) }
}

/// A step with what the case saved, zeros and long texts in their places.
pub fn fill(value: &Value, saved: &Saved) -> Value {
    match (value, value["$zeros"].as_u64(), value["$text"].as_u64(), value["$var"].as_str()) {
        (_, Some(count), _, _) => BASE64_STANDARD.encode(vec![0; count as usize]).into(),
        (_, _, Some(count), _) => "a".repeat(count as usize).into(),
        (_, _, _, Some(name)) => saved.borrow()[name].clone(),
        (Value::Array(parts), ..) => parts.iter().map(|part| fill(part, saved)).collect(),
        (Value::Object(fields), ..) => fields.iter().map(|(name, part)| (name.clone(), fill(part, saved))).collect(),
        _ => value.clone(),
    }
}

/// The values at a path of names with dots between them, in order; a list on the way stands for all its parts.
pub fn values_at(messages: &[Value], path: &str) -> Vec<Value> {
    path.split('.').fold(messages.to_vec(), |found, name| {
        let parts = found.iter().filter_map(|value| value.get(name).cloned());
        parts.flat_map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value])).collect()
    })
}

pub fn decode64(value: &Value) -> Outcome<Vec<u8>> {
    Ok(BASE64_STANDARD.decode(text(value))?)
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap_or(f64::NAN), other.as_f64().unwrap_or(f64::NAN));
            (one - other).abs() <= CLOSE * one.abs().max(other.abs())
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        _ => one == other,
    }
}
