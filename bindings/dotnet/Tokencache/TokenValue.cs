using System;
using System.Threading;

namespace Tokencache;

/// <summary>An entry of the cache: its bytes, which are not copied, and what is known of them.</summary>
/// <remarks>
/// It stays valid after the entry was replaced or removed and after the cache was closed. Disposing of it lets go of
/// the memory, which is wiped when nobody else holds it; a finalizer does so late for what was forgotten. Any thread may
/// read it; dispose of it when no thread does.
/// <para>
/// Keep it in a <c>using</c> while you use its <see cref="Span"/>: the bytes lie outside the managed heap, and the
/// collector does not see that a span still points there. <see cref="Memory"/> keeps the value itself alive for as long
/// as somebody holds the memory.
/// </para>
/// </remarks>
public sealed unsafe class TokenValue : IDisposable
{
    private readonly bool _degraded;
    private IntPtr _value;
    private ValueMemory? _memory;

    /// <summary>Takes over one reference to a value.</summary>
    internal TokenValue(IntPtr value, bool degraded)
    {
        _value = value;
        _degraded = degraded;
    }

    /// <summary>Lets go of the bytes of a value that was forgotten.</summary>
    ~TokenValue() => Release();

    /// <summary>The number of bytes.</summary>
    /// <exception cref="ObjectDisposedException">The value was disposed of.</exception>
    public int Length => checked((int)Read().Len);

    /// <summary>The bytes, valid until <see cref="Dispose"/>; they are not copied and never change.</summary>
    /// <exception cref="ObjectDisposedException">The value was disposed of.</exception>
    public ReadOnlySpan<byte> Span
    {
        get
        {
            Native.Value value = Read();
            return new((void*)value.Data, checked((int)value.Len));
        }
    }

    /// <summary>
    /// The bytes for code that awaits; they are not copied. It keeps this value from being finalized, throws after
    /// <see cref="Dispose"/>, and while it is pinned the bytes stay even then. The first use allocates a small object.
    /// </summary>
    /// <exception cref="ObjectDisposedException">The value was disposed of.</exception>
    public ReadOnlyMemory<byte> Memory
    {
        get
        {
            Read();
            return (_memory ??= new ValueMemory(this)).Memory;
        }
    }

    /// <summary>Of these bytes; pass it as the expected version to <c>TrySet</c>.</summary>
    /// <exception cref="ObjectDisposedException">The value was disposed of.</exception>
    public ulong Version => Read().Version;

    /// <summary>When it was written; null when the writer did not say.</summary>
    /// <exception cref="ObjectDisposedException">The value was disposed of.</exception>
    public DateTimeOffset? WrittenAt => Times.Moment(Read().WrittenAtMs);

    /// <summary>Its absolute end, or null. A sliding end is not counted.</summary>
    /// <exception cref="ObjectDisposedException">The value was disposed of.</exception>
    public DateTimeOffset? ExpiresAt => Times.Moment(Read().ExpiresAtMs);

    /// <summary>Which tier answered.</summary>
    /// <exception cref="ObjectDisposedException">The value was disposed of.</exception>
    public TokenCacheTier Tier => (TokenCacheTier)Read().Tier;

    /// <summary>Whether L2 could not be asked if this is still the newest.</summary>
    public bool IsDegraded => _degraded;

    /// <summary>Whether it is sealed under a retired key; store it again to move it to the active one.</summary>
    /// <exception cref="ObjectDisposedException">The value was disposed of.</exception>
    public bool IsRetiredKey => (Read().Flags & Native.ValueRetiredKey) != 0;

    /// <summary>A copy of the bytes.</summary>
    /// <returns>A new array, which nobody wipes.</returns>
    /// <exception cref="ObjectDisposedException">The value was disposed of.</exception>
    public byte[] ToArray()
    {
        byte[] copy = Span.ToArray();
        GC.KeepAlive(this);
        return copy;
    }

    /// <summary>Copies the bytes.</summary>
    /// <param name="destination">At least <see cref="Length"/> bytes.</param>
    /// <exception cref="ArgumentException"><paramref name="destination"/> is too short.</exception>
    /// <exception cref="ObjectDisposedException">The value was disposed of.</exception>
    public void CopyTo(Span<byte> destination)
    {
        Span.CopyTo(destination);
        GC.KeepAlive(this);
    }

    /// <summary>Lets go of the bytes. Doing it again does nothing.</summary>
    public void Dispose()
    {
        Release();
        GC.SuppressFinalize(this);
    }

    /// <summary>The length and the version, never the bytes: a value is printed by accident more often than on purpose.</summary>
    /// <returns>A text for logs.</returns>
    public override string ToString() =>
        _value == IntPtr.Zero ? "TokenValue, disposed" : $"TokenValue of {Length} bytes, version {Version}";

    /// <summary>Adds a reference of the caller's own.</summary>
    internal IntPtr Retain()
    {
        IntPtr value = _value;
        Throw.IfDisposed(value == IntPtr.Zero, nameof(TokenValue));
        value = Native.tc_value_retain(value);
        GC.KeepAlive(this);
        return value;
    }

    private Native.Value Read()
    {
        IntPtr value = _value;
        Throw.IfDisposed(value == IntPtr.Zero, nameof(TokenValue));
        Native.Value copy = *(Native.Value*)value;
        GC.KeepAlive(this);
        return copy;
    }

    private void Release()
    {
        IntPtr value = Interlocked.Exchange(ref _value, IntPtr.Zero);
        if (value != IntPtr.Zero)
        {
            Native.tc_value_release(value);
        }
    }
}
