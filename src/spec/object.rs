//! JSON objects that are read from objects only.
//!
//! Runs in: both · config.md (VAL-03)
//!
//! What serde derives for a struct takes a list as well, with the members in the order of the source:
//! `"root": ["rootfs", true]`. The types named in [`object`] take nothing but an object.

use serde::de::{Deserialize, Deserializer, Visitor};

/// Reads a struct as a map.
pub(crate) struct Members<D>(pub(crate) D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Members<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// For types that derive `Deserialize` with `#[serde(remote = "Self")]`, which makes it a function of
/// theirs instead of the trait's.
macro_rules! object {
    ($($type:ty),+ $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                <$type>::deserialize($crate::spec::object::Members(deserializer))
            }
        }
    )+};
}
pub(crate) use object;

/// A struct of another crate's.
struct Foreign<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Foreign<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(Members(deserializer)).map(Self)
    }
}

/// For a field that may be absent or `null`.
pub(crate) fn foreign<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Foreign<T>>::deserialize(deserializer)?.map(|object| object.0))
}

/// For a list that may be absent or `null`.
pub(crate) fn foreign_list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Option::<Vec<Foreign<T>>>::deserialize(deserializer)?;
    Ok(list.unwrap_or_default().into_iter().map(|object| object.0).collect())
}

#[cfg(test)]
mod tests {
    use crate::spec::config::{Config, Root};

    /// VAL-03
    #[test]
    fn a_list_is_no_object() {
        assert!(serde_json::from_str::<Root>(r#"{"path": "rootfs"}"#).is_ok());
        assert!(serde_json::from_str::<Root>(r#"["rootfs", true]"#).is_err());
        for json in [
            r#"["1.3.0"]"#,
            r#"{"ociVersion": "1.3.0", "hooks": []}"#,
            r#"{"ociVersion": "1.3.0", "hooks": {"poststop": [["/bin/true"]]}}"#,
            r#"{"ociVersion": "1.3.0", "linux": {"resources": {"memory": [1]}}}"#,
        ] {
            assert!(serde_json::from_str::<Config>(json).is_err(), "{json}");
        }
    }
}
