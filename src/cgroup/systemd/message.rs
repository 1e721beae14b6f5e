//! D-Bus messages: calls as bytes, and what comes back. zbus encodes and decodes all types; here is
//! how a message's header is made of them.
//!
//! Runs in: parent · D-Bus Specification, "Message Format"

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{LE, to_bytes};
use zbus::{DynamicType, ObjectPath, Signature, Type, Variant};

const LITTLE_ENDIAN: u8 = b'l';
const VERSION: u8 = 1;

/// Message types.
const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// Header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// What every header begins with, up to the length of the field list.
pub(crate) const PRELUDE: usize = 16;
/// The specification's limit on a whole message.
const LONGEST: usize = 128 << 20;

/// Whom a call is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) destination: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
}

/// A message that was received.
#[derive(Debug)]
pub(crate) struct Message {
    kind: u8,
    member: String,
    error: String,
    reply_to: Option<u32>,
    signature: Signature,
    body: Data<'static, 'static>,
}

/// What a message is to us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Role<'a> {
    Reply(u32),
    /// An error's name, such as `org.freedesktop.systemd1.UnitExists`.
    Error(u32, &'a str),
    /// A signal's name.
    Signal(&'a str),
    Other,
}

/// A header field's value. A body's signature is a list of types, which is no type itself: a
/// `Variant` would put it in parentheses.
#[derive(Type)]
#[zbus(signature = "v")]
enum Field {
    Value(Variant<'static>),
    BodySignature(String),
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::BodySignature(types) => {
                let mut variant = serializer.serialize_struct("Variant", 2)?;
                variant.serialize_field("signature", &Signature::Signature)?;
                variant.serialize_field("value", types)?;
                variant.end()
            }
        }
    }
}

type Header<F> = (u8, u8, u8, u8, u32, u32, Vec<(u8, F)>);

/// A method call, whose arguments are the fields of a tuple.
pub(super) fn call<B>(serial: u32, target: Target, member: &'static str, arguments: &B) -> zbus::Result<Vec<u8>>
where
    B: Serialize + DynamicType,
{
    let body = to_bytes(Context::new(LE, 0), arguments)?;
    let text = |value: &'static str| Field::Value(Variant::from(value));
    let mut fields = vec![
        (PATH, Field::Value(Variant::from(ObjectPath::try_from(target.path)?))),
        (INTERFACE, text(target.interface)),
        (MEMBER, text(member)),
        (DESTINATION, text(target.destination)),
    ];
    if !body.bytes().is_empty() {
        let types = arguments.signature().to_string();
        let types = types.strip_prefix('(').and_then(|types| types.strip_suffix(')')).unwrap_or(&types);
        fields.push((SIGNATURE, Field::BodySignature(types.to_owned())));
    }
    let length = u32::try_from(body.bytes().len()).unwrap_or(u32::MAX);
    let header: Header<Field> = (LITTLE_ENDIAN, METHOD_CALL, 0, VERSION, length, serial, fields);
    let mut bytes = to_bytes(Context::new(LE, 0), &header)?.bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend_from_slice(body.bytes());
    Ok(bytes)
}

/// How long the whole message is that begins like this; `None` if it is not one we can read.
pub(crate) fn length(prelude: &[u8; PRELUDE]) -> Option<usize> {
    let number = |at: usize| -> Option<usize> {
        let bytes = prelude.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let fields = PRELUDE.checked_add(number(12)?)?.checked_next_multiple_of(8)?;
    let whole = fields.checked_add(number(4)?)?;
    (prelude[0] == LITTLE_ENDIAN && whole <= LONGEST).then_some(whole)
}

impl Message {
    /// A whole message, as long as `length` says.
    pub(crate) fn parse(bytes: Vec<u8>) -> zbus::Result<Self> {
        let data = Data::new(bytes, Context::new(LE, 0));
        let (header, used): (Header<Variant<'_>>, usize) = data.deserialize()?;
        let (_, kind, _, _, _, _, fields) = header;
        let start = used.next_multiple_of(8).min(data.bytes().len());
        let body = Data::new(data.bytes()[start..].to_vec(), Context::new(LE, 0));
        let mut message = Self {
            kind,
            member: String::new(),
            error: String::new(),
            reply_to: None,
            signature: Signature::Unit,
            body,
        };
        for (code, value) in fields {
            match (code, value) {
                (MEMBER, Variant::Str(name)) => message.member = name.to_string(),
                (ERROR_NAME, Variant::Str(name)) => message.error = name.to_string(),
                (REPLY_SERIAL, Variant::U32(serial)) => message.reply_to = Some(serial),
                (SIGNATURE, Variant::Signature(signature)) => message.signature = signature,
                _ => {}
            }
        }
        Ok(message)
    }

    pub(crate) fn role(&self) -> Role<'_> {
        match (self.kind, self.reply_to) {
            (METHOD_RETURN, Some(serial)) => Role::Reply(serial),
            (ERROR, Some(serial)) => Role::Error(serial, &self.error),
            (SIGNAL, _) => Role::Signal(&self.member),
            _ => Role::Other,
        }
    }

    /// The body as one value; several arguments are a tuple.
    pub(crate) fn body<'a, T>(&'a self) -> zbus::Result<T>
    where
        T: serde::Deserialize<'a> + Type,
    {
        // One argument has the type itself, several the tuple's without parentheses.
        if self.signature != *T::SIGNATURE {
            return Err(serde::de::Error::custom(format_args!("{} instead of {}", self.signature, T::SIGNATURE)));
        }
        self.body.deserialize().map(|(value, _)| value)
    }

    /// What an error says beyond its name.
    pub(crate) fn text(&self) -> String {
        self.body::<String>().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUS: Target = Target {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
    };

    fn split(bytes: &[u8]) -> usize {
        length(bytes[..PRELUDE].try_into().unwrap()).unwrap()
    }

    #[test]
    fn a_call_is_what_the_specification_says() {
        let bytes = call(7, BUS, "Hello", &()).unwrap();
        assert_eq!(split(&bytes), bytes.len());
        assert_eq!(bytes[..12], [b'l', 1, 0, 1, 0, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(bytes.len() % 8, 0);
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("/org/freedesktop/DBus\0") && text.contains("Hello\0"), "{text}");
    }

    /// The types of the arguments, not of a tuple around them.
    #[test]
    fn arguments_have_no_parentheses() {
        let bytes = call(1, BUS, "Start", &("a.scope", "fail", vec![("Delegate", Variant::from(true))])).unwrap();
        assert_eq!(split(&bytes), bytes.len());
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("\x07ssa(sv)\0"), "{text:?}");
        let message = Message::parse(bytes).unwrap();
        let (unit, mode, properties): (String, String, Vec<(String, Variant<'_>)>) = message.body().unwrap();
        assert_eq!((unit.as_str(), mode.as_str()), ("a.scope", "fail"));
        assert_eq!(properties, [("Delegate".to_owned(), Variant::from(true))]);
        assert_eq!(message.role(), Role::Other);
    }

    #[test]
    fn one_argument_is_itself() {
        let bytes = call(1, BUS, "AddMatch", &("type='signal'",)).unwrap();
        assert_eq!(Message::parse(bytes).unwrap().body::<String>().unwrap(), "type='signal'");
    }

    #[test]
    fn nonsense_is_no_message() {
        assert_eq!(length(&[0; PRELUDE]), None);
        assert_eq!(length(&[b'B'; PRELUDE]), None);
        let mut huge = [0xff; PRELUDE];
        huge[0] = LITTLE_ENDIAN;
        assert_eq!(length(&huge), None);
        assert!(Message::parse(vec![b'l'; 20]).is_err());
    }
}
