using System;
using System.Buffers;
using System.Runtime.CompilerServices;
using System.Threading.Tasks;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

public class LifetimeTests
{
    [Fact]
    public void A_value_is_readable_after_the_cache_was_closed()
    {
        TokenValue? value;
        using (TokenCache cache = TokenCache.Open(Memory))
        {
            cache.Set("alice", "token"u8);
            value = cache.Get("alice");
        }
        Assert.Equal("token"u8, value!.Span);
        Assert.Equal(5, value.Length);
        value.Dispose();
    }

    [Fact]
    public void A_lease_is_readable_after_its_entry_was_replaced_and_the_cache_closed()
    {
        TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8);
        using TokenLease lease = cache.Peek("alice");
        cache.Set("alice", "other"u8);
        cache.Dispose();
        Assert.Equal("token"u8, lease.Span);
    }

    [Fact]
    public void A_lease_can_be_disposed_of_twice()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8);
        TokenLease lease = cache.Peek("alice");
        lease.Dispose();
        lease.Dispose();
        // A second release would have freed the entry, which the cache still holds.
        Assert.Equal("token", Read(cache, "alice"));
    }

    [Fact]
    public void Copies_of_a_lease_release_once_and_none_is_readable_afterwards()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8);
        TokenLease lease = cache.Peek("alice");
        TokenLease copy = lease;
        copy.Dispose();
        // The slot's next tenant is not theirs to release.
        using TokenLease next = cache.Peek("alice");
        lease.Dispose();
        copy.Dispose();
        Assert.Equal("token"u8, next.Span);
        Assert.True(Throws<ObjectDisposedException>(lease, it => it.Span.Length));
        Assert.True(Throws<ObjectDisposedException>(copy, it => it.Version));
    }

    [Fact]
    public void Leases_may_end_in_any_order()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8);
        for (int round = 0; round < 1000; round++)
        {
            TokenLease a = cache.Peek("alice"), b = cache.Peek("alice"), c = cache.Peek("alice");
            TokenLease d = cache.Peek("alice"), e = cache.Peek("alice"), f = cache.Peek("alice");
            b.Dispose();
            e.Dispose();
            using TokenLease g = cache.Peek("alice");
            a.Dispose();
            f.Dispose();
            c.Dispose();
            Assert.Equal("token"u8, d.Span);
            Assert.Equal("token"u8, g.Span);
            d.Dispose();
        }
    }

    [Fact]
    public void A_lease_of_nothing_has_no_bytes()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        TokenLease lease = cache.Peek("nobody");
        Assert.True(Throws<InvalidOperationException>(lease, it => it.Span.Length));
        Assert.True(Throws<InvalidOperationException>(default, it => it.Version));
        lease.Dispose();
        default(TokenLease).Dispose();
    }

    [Fact]
    public void A_lease_becomes_a_value_with_a_life_of_its_own()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8);
        TokenLease lease = cache.Peek("alice");
        using TokenValue value = lease.ToValue();
        lease.Dispose();
        cache.Remove("alice");
        Assert.Equal("token"u8, value.Span);
    }

    [Fact]
    public void A_value_can_be_disposed_of_twice_and_says_so_afterwards()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8);
        TokenValue value = cache.Get("alice")!;
        ReadOnlyMemory<byte> memory = value.Memory;
        value.Dispose();
        value.Dispose();
        Assert.Equal("token", Read(cache, "alice"));
        Assert.Throws<ObjectDisposedException>(() => value.Span.Length);
        Assert.Throws<ObjectDisposedException>(() => value.Version);
        Assert.Throws<ObjectDisposedException>(() => value.Memory);
        Assert.Throws<ObjectDisposedException>(() => memory.Span.Length);
        Assert.Equal("TokenValue, disposed", value.ToString());
    }

    [Fact]
    public void A_pinned_memory_outlives_the_value()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8);
        TokenValue value = cache.Get("alice")!;
        using MemoryHandle pin = value.Memory.Pin();
        value.Dispose();
        cache.Remove("alice");
        unsafe
        {
            Assert.Equal("token"u8, new ReadOnlySpan<byte>(pin.Pointer, 5));
        }
    }

    [Fact]
    public void A_forgotten_value_lets_go_and_its_memory_does_not()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set("alice", "token"u8);
        (WeakReference forgotten, ReadOnlyMemory<byte> memory) = Forget(cache);
        Until(() =>
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return !forgotten.IsAlive;
        });
        Assert.Equal("token"u8, memory.Span);
        GC.KeepAlive(memory);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static (WeakReference Forgotten, ReadOnlyMemory<byte> Memory) Forget(TokenCache cache) =>
            (new WeakReference(cache.Get("alice"), trackResurrection: true), cache.Get("alice")!.Memory);
    }

    [Fact]
    public void A_forgotten_cache_closes_itself_even_with_handlers()
    {
        using Folder folder = new();
        WeakReference forgotten = Forget(folder);
        Until(() =>
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return !forgotten.IsAlive;
        });

        [MethodImpl(MethodImplOptions.NoInlining)]
        static WeakReference Forget(Folder folder)
        {
            TokenCache cache = folder.Open();
            cache.OnRetry(_ => RetryDecision.Default);
            cache.OnLog((_, _, _) => { });
            return new WeakReference(cache);
        }
    }

    [Fact]
    public async Task A_value_is_printed_without_its_bytes()
    {
        using TokenCache cache = TokenCache.Open(Memory);
        ulong version = cache.Set("alice", "token"u8);
        using TokenValue? value = await cache.GetAsync("alice");
        Assert.Equal($"TokenValue of 5 bytes, version {version}", value!.ToString());
    }

    private delegate object Use(TokenLease lease);

    private static bool Throws<T>(TokenLease lease, Use use)
        where T : Exception
    {
        try
        {
            use(lease);
            return false;
        }
        catch (T)
        {
            return true;
        }
    }
}
