//! What must be compared and done in one step, by the server itself. Values do not pass through Lua, which costs five
//! times the server's time, unless their key leaves no other way.

#![forbid(unsafe_code)]

use std::sync::LazyLock;

use redis::{Cmd, cmd};
use sha1::{Digest, Sha1};

/// Finds `version`, that of the live entry of the first key; nothing when there is none. Whether a reader takes its ends
/// for numbers is asked only of what would have ended.
const VERSION: &str = r"
local entry = redis.call('HMGET', KEYS[1], 'absexp', 'sldexp', 'data')
local absolute, window = tonumber(entry[1] or '-1'), tonumber(entry[2] or '-1')
local is_over = false
if absolute and window then
  is_over = window ~= -1 and window <= 0
  if absolute ~= -1 and not is_over then
    local time = redis.call('TIME')
    is_over = absolute <= time[1] * 1e7 + time[2] * 10 + 621355968000000000
  end
end
if is_over then
  local function is_read(number, text, least, most)
    if number ~= math.floor(number) or string.find(text or '', '%s') then return false end
    return number == -1 or (number >= least and number <= most)
  end
  is_over = is_read(absolute, entry[1], 0, 3155378975999999999) and is_read(window, entry[2], -2^63, 2^63)
end
local version = ''
if entry[3] and not is_over then
  version = string.sub(redis.sha1hex(entry[3]), 1, 16)
  if version == '0000000000000000' then version = '0000000000000001' end
  if version == 'ffffffffffffffff' then version = 'fffffffffffffffe' end
end
";

/// KEYS: the entry, its trace if it leaves one, and where its next state is staged, if it is. ARGV: the expected version
/// or nothing for none, the new `ver`, the lifetime in milliseconds or nothing for ever, for how long its trace stays or
/// nothing for none, and what is not staged: absexp, sldexp, data.
/// A try whose answer was lost finds its own `ver`, and is no conflict. What is staged has no end, and is removed after
/// the script where that leaves it.
const SET: &str = r"
if version == string.sub(ARGV[2], 17, 32) and redis.call('HMGET', KEYS[1], 'ver')[1] == ARGV[2] then return 1 end
if version ~= ARGV[1] then return 0 end
if ARGV[5] then
  redis.call('HSET', KEYS[1], 'absexp', ARGV[5], 'sldexp', ARGV[6], 'data', ARGV[7], 'ver', ARGV[2])
  if ARGV[3] == '' then redis.call('PERSIST', KEYS[1]) end
else
  redis.call('RENAME', KEYS[#KEYS], KEYS[1])
end
if ARGV[3] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
if ARGV[4] ~= '' then redis.call('SET', KEYS[2], string.sub(ARGV[2], 1, 16), 'PX', ARGV[4]) end
return 1
";

/// KEYS: the entry, its tombstone. ARGV: the expected version or nothing for none, the hybrid clock, how long the
/// tombstone stays. A try whose answer was lost finds its own tombstone, and is no conflict.
const REMOVE: &str = r"
if version == '' and redis.call('GET', KEYS[2]) == ARGV[2] then return 1 end
if version ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
";

/// A script, and its name at the server.
pub(super) struct Script {
    text: String,
    sha1: String,
}

pub(super) static CONDITIONAL_SET: LazyLock<Script> = LazyLock::new(|| Script::new(SET));
pub(super) static CONDITIONAL_REMOVE: LazyLock<Script> = LazyLock::new(|| Script::new(REMOVE));

impl Script {
    fn new(body: &str) -> Script {
        let text = [VERSION, body].concat();
        let sha1 = Sha1::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Script { text, sha1 }
    }

    /// Runs it by its name, which the server knows once it has seen the text.
    pub fn by_name(&self, keys: &[&[u8]], arguments: &[&[u8]]) -> Cmd {
        call("EVALSHA", &self.sha1, keys, arguments)
    }

    /// Runs it by its text, from which the server learns the name.
    pub fn by_text(&self, keys: &[&[u8]], arguments: &[&[u8]]) -> Cmd {
        call("EVAL", &self.text, keys, arguments)
    }
}

fn call(command: &str, script: &str, keys: &[&[u8]], arguments: &[&[u8]]) -> Cmd {
    let mut call = cmd(command);
    call.arg(script).arg(keys.len());
    for argument in keys.iter().chain(arguments) {
        call.arg(*argument);
    }
    call
}
