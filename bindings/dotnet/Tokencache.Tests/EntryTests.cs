using System;
using System.Buffers;
using System.Linq;
using System.Text;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

public class EntryTests
{
    private const int MiB = 1 << 20;

    [Fact]
    public void What_is_set_is_read_from_memory_alone()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        ulong version = cache.Set("alice", "token"u8);
        using TokenLease lease = cache.Peek("alice");
        Assert.True(lease.Found);
        Assert.Equal("token"u8, lease.Span);
        Assert.Equal(version, lease.Version);
        Assert.Equal(TokenCacheTier.L1, lease.Tier);
        Assert.False(lease.IsDegraded);
        Assert.False(lease.IsRetiredKey);
        Assert.NotNull(lease.WrittenAt);
        Assert.True((DateTimeOffset.UtcNow - lease.WrittenAt.Value).Duration() < TimeSpan.FromMinutes(1));
    }

    [Fact]
    public void Another_cache_reads_it_from_the_database()
    {
        using Folder folder = new();
        using TokenCache writer = folder.Open(), reader = folder.Open();
        ulong version = writer.Set("alice", "token"u8);
        using (TokenLease missing = reader.Peek("alice"))
        {
            Assert.False(missing.Found);
        }
        using TokenValue? value = reader.Get("alice");
        Assert.NotNull(value);
        Assert.Equal(TokenCacheTier.L2, value.Tier);
        Assert.Equal(version, value.Version);
        Assert.Equal("token"u8, value.Span);
        using TokenLease lease = reader.Peek("alice");
        Assert.Equal(TokenCacheTier.L1, lease.Tier);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Every_way_to_read_gives_the_same(bool shared)
    {
        using Folder folder = new();
        using TokenCache cache = shared ? folder.Open() : TokenCache.Open(Memory);
        cache.Set("alice"u8, "token"u8);
        byte[] buffer = new byte[8];
        ArrayBufferWriter<byte> writer = new();
        Assert.Equal(5, cache.GetInto("alice", buffer));
        Assert.Equal(5, cache.GetInto("alice"u8, buffer));
        Assert.Equal("token"u8, buffer.AsSpan(0, 5));
        Assert.True(cache.TryGet("alice", writer));
        Assert.True(cache.TryGet("alice"u8, writer));
        Assert.Equal("tokentoken"u8, writer.WrittenSpan);
        using TokenValue? value = cache.Get("alice"u8);
        Assert.Equal(Bytes("token"), value!.ToArray());
        using TokenLease lease = cache.GetLease("alice"u8);
        Assert.Equal(Bytes("token"), lease.ToArray());
    }

    [Fact]
    public void What_is_not_there_is_not_found_in_any_way()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        ArrayBufferWriter<byte> writer = new();
        using TokenLease lease = cache.GetLease("nobody");
        Assert.False(lease.Found);
        Assert.Null(cache.Get("nobody"));
        Assert.Equal(-1, cache.GetInto("nobody", new byte[8]));
        Assert.False(cache.TryGet("nobody", writer));
        Assert.Equal(0, writer.WrittenCount);
        Assert.False(cache.Touch("nobody"));
        cache.Remove("nobody");
    }

    [Fact]
    public void A_buffer_that_is_too_small_is_told_the_length_and_left_alone()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8);
        byte[] buffer = new byte[4];
        Assert.Equal(5, cache.GetInto("alice", buffer));
        Assert.Equal(new byte[4], buffer);
        Assert.Equal(5, cache.GetInto("alice", []));
    }

    [Fact]
    public void An_empty_value_is_found_and_empty()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("empty", []);
        using TokenLease lease = cache.Peek("empty");
        Assert.True(lease.Found);
        Assert.Equal(0, lease.Span.Length);
        Assert.Equal(0, cache.GetInto("empty", []));
        using TokenValue? value = cache.Get("empty");
        Assert.Empty(value!.ToArray());
        Assert.Equal(0, value.Memory.Length);
    }

    [Fact]
    public void A_value_of_one_mebibyte_passes_and_one_byte_more_is_refused()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        byte[] large = [.. Enumerable.Range(0, MiB).Select(i => (byte)(i * 7))];
        cache.Set("large", large);
        cache.Clear();
        using TokenValue? value = cache.Get("large");
        Assert.Equal(large, value!.ToArray());
        TokenCacheException refused = Assert.Throws<TokenCacheException>(() => cache.Set("large", new byte[MiB + 1]));
        Assert.Equal(TokenCacheStatus.ValueTooLarge, refused.Status);
    }

    [Fact]
    public void A_removed_entry_is_gone_for_everybody()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open(), other = folder.Open();
        cache.Set("alice", "token"u8);
        cache.Set("bob"u8, "token"u8);
        cache.Remove("alice");
        cache.Remove("bob"u8);
        Assert.Null(Read(cache, "alice"));
        Assert.Null(Read(other, "bob"));
    }

    [Fact]
    public void Clearing_empties_memory_and_not_the_database()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open();
        cache.Set("alice", "token"u8);
        cache.Clear();
        using TokenLease peeked = cache.Peek("alice");
        Assert.False(peeked.Found);
        Assert.Equal("token", Read(cache, "alice"));
        Assert.True(cache.Flush(TimeSpan.FromSeconds(60)));
    }

    [Fact]
    public void A_local_entry_does_not_reach_the_database()
    {
        using Folder folder = new();
        using TokenCache cache = folder.Open(), other = folder.Open();
        cache.Set("alice", "mine"u8, new SetOptions { LocalOnly = true });
        Assert.Equal("mine", Read(cache, "alice"));
        Assert.Null(Read(other, "alice"));
    }

    [Fact]
    public void Counters_are_a_document()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8);
        using System.Text.Json.JsonDocument stats = System.Text.Json.JsonDocument.Parse(cache.Stats());
        Assert.Equal(System.Text.Json.JsonValueKind.Object, stats.RootElement.ValueKind);
    }

    [Fact]
    public void A_document_is_applied_while_open_or_refused_by_name()
    {
        using TokenCache cache = TokenCache.Open(Encoding.UTF8.GetBytes(Memory));
        cache.Configure("""{"version": 1, "limits": {"max_value_bytes": 4}, "logging": {"to": "none"}}""");
        TokenCacheException large = Assert.Throws<TokenCacheException>(() => cache.Set("alice", "token"u8));
        Assert.Equal(TokenCacheStatus.ValueTooLarge, large.Status);
        TokenCacheException refused = Assert.Throws<TokenCacheException>(
            () => cache.Configure("""{"version": 1, "l1": {"capacity": 1}}"""u8));
        Assert.Equal(TokenCacheStatus.InvalidConfig, refused.Status);
        Assert.Contains("capacity", refused.Message, StringComparison.Ordinal);
    }
}
