//! The fields of a hash in Redis, whoever wrote them, and what the server says of its time.

use arbitrary::{Result, Unstructured};
use tokencache::l2::redis::found;

pub fn run(bytes: &[u8]) {
    let _ = read(&mut Unstructured::new(bytes));
}

fn read(input: &mut Unstructured<'_>) -> Result<()> {
    let pttl_ms = input.arbitrary()?;
    let clock_lead_ms = input.arbitrary()?;
    let mut fields = [None, None, None, None];
    for field in &mut fields {
        *field = input.arbitrary::<Option<Vec<u8>>>()?;
    }
    let data = fields[2].clone();
    if let Ok(Some(stored)) = found(fields, pttl_ms, clock_lead_ms) {
        assert_eq!(Some(&stored.bytes[..]), data.as_deref(), "the bytes are those of the field");
        assert!(stored.version != 0 && stored.version != u64::MAX, "a version that means something else");
        assert!(stored.lifetime.sliding_ms >= 0, "{:?}", stored.lifetime);
    }
    Ok(())
}
