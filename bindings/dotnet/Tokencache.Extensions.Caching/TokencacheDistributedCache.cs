using System;
using System.Buffers;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Extensions.Caching.Distributed;

namespace Tokencache.Extensions.Caching;

/// <summary>A <see cref="TokenCache"/> as the distributed cache of .NET.</summary>
/// <remarks>
/// What L1 holds is answered from memory: an array is copied to once, a writer is written to without an array, and an
/// asynchronous read completes before it returns. Failures of L2 are a <see cref="TokenCacheException"/>; a write that
/// L2 does not take is kept and owed to it, and is no failure. Entries last as
/// <see cref="DistributedCacheEntryOptions"/> say: of two absolute ends the earlier holds, and where the options say
/// nothing <c>expiry</c> in the configuration does. The cache is not this object's to close.
/// </remarks>
public sealed class TokencacheDistributedCache : IBufferDistributedCache
{
    private readonly TokenCache _cache;

    /// <summary>Stands before a cache.</summary>
    /// <param name="cache">The open cache.</param>
    /// <exception cref="ArgumentNullException"><paramref name="cache"/> is null.</exception>
    public TokencacheDistributedCache(TokenCache cache)
    {
        Require.NotNull(cache, nameof(cache));
        _cache = cache;
    }

    /// <inheritdoc/>
    /// <exception cref="TokenCacheException">L2 could not be asked, or the entry cannot be opened.</exception>
    public byte[]? Get(string key)
    {
        using TokenLease lease = _cache.GetLease(key);
        return lease.Found ? Copy(lease.Span) : null;
    }

    /// <inheritdoc/>
    /// <exception cref="TokenCacheException">L2 could not be asked, or the entry cannot be opened.</exception>
    public Task<byte[]?> GetAsync(string key, CancellationToken token = default)
    {
        if (token.IsCancellationRequested)
        {
            return Task.FromCanceled<byte[]?>(token);
        }
        using (TokenLease lease = _cache.Peek(key))
        {
            if (lease.Found)
            {
                return Task.FromResult<byte[]?>(Copy(lease.Span));
            }
        }
        return CopyLater(_cache.GetAsync(key, token));
    }

    /// <inheritdoc/>
    /// <exception cref="TokenCacheException">L2 could not be asked, or the entry cannot be opened.</exception>
    public bool TryGet(string key, IBufferWriter<byte> destination) => _cache.TryGet(key, destination);

    /// <inheritdoc/>
    /// <exception cref="TokenCacheException">L2 could not be asked, or the entry cannot be opened.</exception>
    public ValueTask<bool> TryGetAsync(
        string key,
        IBufferWriter<byte> destination,
        CancellationToken token = default) => _cache.TryGetAsync(key, destination, token);

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">The absolute end is past.</exception>
    /// <exception cref="TokenCacheException">The value is too long, or it could not be kept for L2 either.</exception>
    public void Set(string key, byte[] value, DistributedCacheEntryOptions options)
    {
        Require.NotNull(value, nameof(value));
        _cache.Set(key, value, Lifetime.Of(options));
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">The absolute end is past.</exception>
    /// <exception cref="TokenCacheException">The value is too long, or it could not be kept for L2 either.</exception>
    public void Set(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options)
    {
        using Segment bytes = new(value);
        _cache.Set(key, bytes.Memory.Span, Lifetime.Of(options));
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">The absolute end is past.</exception>
    /// <exception cref="TokenCacheException">The value is too long, or it could not be kept for L2 either.</exception>
    public Task SetAsync(
        string key,
        byte[] value,
        DistributedCacheEntryOptions options,
        CancellationToken token = default)
    {
        Require.NotNull(value, nameof(value));
        return _cache.SetAsync(key, value, Lifetime.Of(options), token).AsTask();
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">The absolute end is past.</exception>
    /// <exception cref="TokenCacheException">The value is too long, or it could not be kept for L2 either.</exception>
    public ValueTask SetAsync(
        string key,
        ReadOnlySequence<byte> value,
        DistributedCacheEntryOptions options,
        CancellationToken token = default)
    {
        // The library copies the bytes before it returns, so that what was rented can go back at once.
        using Segment bytes = new(value);
        return new(_cache.SetAsync(key, bytes.Memory.Span, Lifetime.Of(options), token).AsTask());
    }

    /// <summary>Begins the sliding window of an entry anew. There need not be one.</summary>
    /// <param name="key">The key.</param>
    /// <exception cref="TokenCacheException">L2 could not be asked.</exception>
    public void Refresh(string key) => _cache.Touch(key);

    /// <inheritdoc cref="Refresh(string)"/>
    /// <param name="key">The key.</param>
    /// <param name="token">Ends the wait; the renewal goes on.</param>
    public Task RefreshAsync(string key, CancellationToken token = default)
    {
        if (token.IsCancellationRequested)
        {
            return Task.FromCanceled(token);
        }
        Require.NotNull(key, nameof(key));
        using (TokenLease lease = _cache.Peek(key))
        {
            if (lease.Found)
            {
                // A read renews, as a refresh does, and this one waited for nobody.
                return Task.CompletedTask;
            }
        }
        return WaitFor(Task.Run(() => _cache.Touch(key), CancellationToken.None), token);
    }

    /// <inheritdoc/>
    /// <exception cref="TokenCacheException">The removal could not be kept for L2 either.</exception>
    public void Remove(string key) => _cache.Remove(key);

    /// <inheritdoc/>
    /// <exception cref="TokenCacheException">The removal could not be kept for L2 either.</exception>
    public Task RemoveAsync(string key, CancellationToken token = default) =>
        _cache.RemoveAsync(key, token).AsTask();

    private static async Task WaitFor(Task work, CancellationToken cancelled)
    {
        TaskCompletionSource<bool> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using (cancelled.Register(() => ended.TrySetCanceled(cancelled)))
        {
            await (await Task.WhenAny(work, ended.Task).ConfigureAwait(false)).ConfigureAwait(false);
        }
    }

    private static async Task<byte[]?> CopyLater(ValueTask<TokenValue?> reading)
    {
        using TokenValue? value = await reading.ConfigureAwait(false);
        return value is null ? null : Copy(value.Span);
    }

    private static byte[] Copy(ReadOnlySpan<byte> bytes)
    {
#if NET
        byte[] copy = GC.AllocateUninitializedArray<byte>(bytes.Length);
#else
        byte[] copy = new byte[bytes.Length];
#endif
        bytes.CopyTo(copy);
        return copy;
    }

    /// <summary>A sequence in one piece: itself where it is one, else a copy in a rented array, wiped afterwards.</summary>
    private readonly ref struct Segment
    {
        private readonly byte[]? _rented;

        public Segment(in ReadOnlySequence<byte> sequence)
        {
            if (sequence.IsSingleSegment)
            {
                Memory = sequence.First;
                return;
            }
            int length = checked((int)sequence.Length);
            _rented = ArrayPool<byte>.Shared.Rent(length);
            sequence.CopyTo(_rented);
            Memory = _rented.AsMemory(0, length);
        }

        public ReadOnlyMemory<byte> Memory { get; }

        public void Dispose()
        {
            if (_rented is not null)
            {
                // It may have been a token.
                ArrayPool<byte>.Shared.Return(_rented, clearArray: true);
            }
        }
    }
}
