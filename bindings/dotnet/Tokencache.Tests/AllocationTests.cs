using System;
using System.Buffers;
using System.Threading.Tasks;
using Xunit;
using Xunit.Abstractions;
using static Tokencache.Tests.Support;

namespace Tokencache.Tests;

/// <summary>What a million calls allocate on the managed heap.</summary>
public class AllocationTests(ITestOutputHelper output)
{
    private const int Calls = 1_000_000;
    private const string Key = "00000000-0000-0000-0000-000000000001.00000000-0000-0000-0000-00000000000a";

    private static readonly byte[] s_key = Bytes(Key);
    private static readonly byte[] s_buffer = new byte[2000];

    [Fact]
    public void A_peek_allocates_nothing() => Nothing(static cache =>
    {
        using TokenLease lease = cache.Peek(Key);
        return lease.Span.Length;
    });

    [Fact]
    public void A_peek_with_a_key_of_bytes_allocates_nothing() => Nothing(static cache =>
    {
        using TokenLease lease = cache.Peek(s_key);
        return lease.Span.Length;
    });

    [Fact]
    public void A_lease_allocates_nothing() => Nothing(static cache =>
    {
        using TokenLease lease = cache.GetLease(Key);
        return lease.Span.Length;
    });

    [Fact]
    public void Reading_into_a_buffer_allocates_nothing() =>
        Nothing(static cache => cache.GetInto(Key, s_buffer));

    [Fact]
    public void Reading_into_a_writer_allocates_nothing()
    {
        Writer writer = new();
        Nothing(cache =>
        {
            writer.Clear();
            return cache.TryGet(Key, writer) ? writer.Written : 0;
        });
    }

    [Fact]
    public void Reading_asynchronously_into_a_writer_allocates_nothing_on_a_hit()
    {
        Writer writer = new();
        Nothing(cache =>
        {
            writer.Clear();
            ValueTask<bool> reading = cache.TryGetAsync(Key, writer);
            return reading.IsCompletedSuccessfully && reading.Result ? writer.Written : 0;
        });
    }

    [Fact]
    public void Storing_allocates_nothing() =>
        Nothing(static cache => cache.Set(Key, s_buffer) == 0 ? 0 : s_buffer.Length);

    [Fact]
    public void Storing_with_options_allocates_nothing() => Nothing(static cache =>
    {
        SetOptions options = new() { TimeToLive = TimeSpan.FromHours(1), Sliding = TimeSpan.FromMinutes(5) };
        return cache.Set(s_key, s_buffer, options) == 0 ? 0 : s_buffer.Length;
    });

    [Fact]
    public void A_key_that_is_too_long_for_the_stack_allocates_nothing()
    {
        string key = new('k', 500);
        Nothing(
            cache =>
            {
                using TokenLease lease = cache.Peek(key);
                return lease.Span.Length;
            },
            key);
    }

    [Fact]
    public void A_value_read_asynchronously_is_one_object_on_a_hit()
    {
        long each = Allocated(static cache =>
        {
            ValueTask<TokenValue?> reading = cache.GetAsync(Key);
            Assert.True(reading.IsCompletedSuccessfully);
            using TokenValue? value = reading.Result;
            return value!.Length;
        }) / Calls;
        // A header, a method table, the pointer, the memory if any, and a flag.
        Assert.Equal(40, each);
    }

    private void Nothing(Func<TokenCache, int> call, string key = Key) => Assert.Equal(0, Allocated(call, key));

    private long Allocated(Func<TokenCache, int> call, string key = Key)
    {
        using TokenCache cache = TokenCache.Open(Memory);
        cache.Set(key, s_buffer);
        for (int i = 0; i < 1000; i++)
        {
            Assert.Equal(s_buffer.Length, call(cache));
        }
        long begin = GC.GetAllocatedBytesForCurrentThread();
        long sum = 0;
        for (int i = 0; i < Calls; i++)
        {
            sum += call(cache);
        }
        long allocated = GC.GetAllocatedBytesForCurrentThread() - begin;
        Assert.Equal((long)Calls * s_buffer.Length, sum);
        output.WriteLine($"{allocated} bytes in {Calls:N0} calls");
        return allocated;
    }

    /// <summary>A writer over one array, since ArrayBufferWriter clears what it gives back.</summary>
    private sealed class Writer : IBufferWriter<byte>
    {
        private readonly byte[] _room = new byte[4096];

        public int Written { get; private set; }

        public void Clear() => Written = 0;

        public void Advance(int count) => Written += count;

        public Memory<byte> GetMemory(int sizeHint = 0) => _room.AsMemory(Written);

        public Span<byte> GetSpan(int sizeHint = 0) => _room.AsSpan(Written);
    }
}
