// A first program: open, set, get, release, close.
//
//     TOKENCACHE_LIBRARY=target/release/libtokencache.so dotnet run --project examples/dotnet/hello
using System.Text;
using Tokencache;

const string Config = """
    {"version": 1, "l2": {"kind": "sqlite", "path": "hello.db"}, "encryption": {"algorithm": "none"}}
    """;

using TokenCache cache = TokenCache.Open(Config);
cache.Set("alice", "made-up-token"u8, new SetOptions { TimeToLive = TimeSpan.FromHours(1) });

using TokenLease alice = cache.GetLease("alice");
Console.WriteLine(alice.Found
    ? $"alice: {Encoding.UTF8.GetString(alice.Span)}, from {alice.Tier}"
    : "alice must sign in.");
