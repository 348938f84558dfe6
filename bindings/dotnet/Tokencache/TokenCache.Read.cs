using System;
using System.Buffers;

namespace Tokencache;

public sealed unsafe partial class TokenCache
{
    /// <summary>Reads from L1 alone: never waits for L2, a callback or another call, and allocates nothing.</summary>
    /// <param name="key">The key.</param>
    /// <returns>
    /// A lease to dispose of. Nothing is found also when the entry must be checked against L2 first.
    /// </returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public TokenLease Peek(string key)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return Peek(utf8.Span);
    }

    /// <inheritdoc cref="Peek(string)"/>
    /// <param name="utf8Key">The key's bytes.</param>
    public TokenLease Peek(scoped ReadOnlySpan<byte> utf8Key) =>
        new(LeaseSlot.First, Peek(utf8Key, out var status), status);

    /// <summary>Reads from L1, then from L2, and allocates nothing.</summary>
    /// <param name="key">The key.</param>
    /// <returns>A lease to dispose of.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="TokenCacheException">
    /// Nothing was found and L2 could not be asked, so nobody knows; or the entry in L2 cannot be opened.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public TokenLease GetLease(string key)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return GetLease(utf8.Span);
    }

    /// <inheritdoc cref="GetLease(string)"/>
    /// <param name="utf8Key">The key's bytes.</param>
    public TokenLease GetLease(scoped ReadOnlySpan<byte> utf8Key) =>
        new(LeaseSlot.First, Get(utf8Key, out var status), status);

    /// <summary>Reads from L1, then from L2, for keeping. It is one small allocation; the bytes are not copied.</summary>
    /// <param name="key">The key.</param>
    /// <returns>The entry, to dispose of; null when there is none that lives.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="TokenCacheException">
    /// Nothing was found and L2 could not be asked, so nobody knows; or the entry in L2 cannot be opened.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public TokenValue? Get(string key)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return Get(utf8.Span);
    }

    /// <inheritdoc cref="Get(string)"/>
    /// <param name="utf8Key">The key's bytes.</param>
    public TokenValue? Get(ReadOnlySpan<byte> utf8Key)
    {
        IntPtr value = Get(utf8Key, out Native.Status status);
        return value == IntPtr.Zero ? null : new TokenValue(value, status == Native.Status.Degraded);
    }

    /// <summary>Reads from L1, then from L2, and copies the bytes to the end of a writer. Allocates nothing itself.</summary>
    /// <param name="key">The key.</param>
    /// <param name="destination">Where the bytes go.</param>
    /// <returns>Whether there was a live entry; nothing was written when not.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="TokenCacheException">
    /// Nothing was found and L2 could not be asked, so nobody knows; or the entry in L2 cannot be opened.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public bool TryGet(string key, IBufferWriter<byte> destination)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return TryGet(utf8.Span, destination);
    }

    /// <inheritdoc cref="TryGet(string, IBufferWriter{byte})"/>
    /// <param name="utf8Key">The key's bytes.</param>
    /// <param name="destination">Where the bytes go.</param>
    public bool TryGet(ReadOnlySpan<byte> utf8Key, IBufferWriter<byte> destination)
    {
        Throw.IfNull(destination, nameof(destination));
        using TokenLease lease = GetLease(utf8Key);
        if (!lease.Found)
        {
            return false;
        }
        destination.Write(lease.Span);
        return true;
    }

    /// <summary>Reads from L1, then from L2, into the caller's buffer. Allocates nothing.</summary>
    /// <param name="key">The key.</param>
    /// <param name="destination">Where the bytes go.</param>
    /// <returns>
    /// The length of the value, or -1 when there is no live entry. When it is longer than
    /// <paramref name="destination"/>, nothing was copied; come again with that much.
    /// </returns>
    /// <exception cref="ArgumentNullException"><paramref name="key"/> is null.</exception>
    /// <exception cref="TokenCacheException">
    /// Nothing was found and L2 could not be asked, so nobody knows; or the entry in L2 cannot be opened.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public int GetInto(string key, Span<byte> destination)
    {
        using Utf8Key utf8 = new(key, stackalloc byte[Utf8Key.StackBytes]);
        return GetInto(utf8.Span, destination);
    }

    /// <inheritdoc cref="GetInto(string, Span{byte})"/>
    /// <param name="utf8Key">The key's bytes.</param>
    /// <param name="destination">Where the bytes go.</param>
    public int GetInto(ReadOnlySpan<byte> utf8Key, Span<byte> destination)
    {
        UIntPtr length = UIntPtr.Zero;
        Native.Status status;
        fixed (byte* key = utf8Key)
        fixed (byte* buffer = destination)
        {
            status = Native.tc_get_into(
                _cache, (IntPtr)key, (UIntPtr)utf8Key.Length, (IntPtr)buffer, (UIntPtr)destination.Length, &length);
        }
        GC.KeepAlive(this);
        if (status == Native.Status.NotFound)
        {
            return -1;
        }
        if (status != Native.Status.BufferTooSmall)
        {
            Failures.Check(status);
        }
        return checked((int)length);
    }

    /// <summary>One reference to what L1 has, or 0.</summary>
    private IntPtr Peek(scoped ReadOnlySpan<byte> utf8Key, out Native.Status status)
    {
        IntPtr value = IntPtr.Zero;
        fixed (byte* key = utf8Key)
        {
            status = Native.tc_peek(_cache, (IntPtr)key, (UIntPtr)utf8Key.Length, &value);
        }
        GC.KeepAlive(this);
        Failures.Check(status);
        return value;
    }

    /// <summary>One reference to what the tiers have, or 0.</summary>
    private IntPtr Get(scoped ReadOnlySpan<byte> utf8Key, out Native.Status status)
    {
        IntPtr value = IntPtr.Zero;
        fixed (byte* key = utf8Key)
        {
            status = Native.tc_get(_cache, (IntPtr)key, (UIntPtr)utf8Key.Length, &value);
        }
        GC.KeepAlive(this);
        Failures.Check(status);
        return value;
    }
}
