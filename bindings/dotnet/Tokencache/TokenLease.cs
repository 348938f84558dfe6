using System;
using System.Diagnostics.CodeAnalysis;

namespace Tokencache;

/// <summary>
/// The answer of a read: an entry's bytes in the library's memory, not copied, until <see cref="Dispose"/>; or, when
/// <see cref="Found"/> is false, nothing.
/// </summary>
/// <remarks>
/// Nothing is allocated. A lease stays in its method and on its thread; <see cref="ToValue"/> makes something to keep.
/// It may be copied: the first dispose of any copy gives the bytes back, another one does nothing, and a use of any
/// copy afterwards throws. A <see cref="Span"/> taken before must not be used after it. What is not disposed of keeps
/// its memory for the life of the process.
/// </remarks>
/// <example>
/// <code>
/// using TokenLease token = cache.Peek("alice");
/// if (token.Found) Use(token.Span);
/// </code>
/// </example>
[SuppressMessage("Performance", "CA1815", Justification = "A ref struct cannot be boxed, and nobody compares leases.")]
public readonly unsafe ref struct TokenLease
{
    // Three words: of two, the last would be put together from two short stores and read at once, which stalls.
    private readonly IntPtr _value;
    private readonly LeaseSlot? _slot;
    private readonly uint _turn;
    private readonly bool _degraded;

    /// <summary>Takes over one reference to a value; 0 is nothing found.</summary>
    /// <param name="first">The thread's first slot, looked for before the library was called: the call hides the wait.</param>
    /// <param name="value">The value.</param>
    /// <param name="status">What the call returned.</param>
    internal TokenLease(LeaseSlot? first, IntPtr value, Native.Status status)
    {
        if (value != IntPtr.Zero)
        {
            _value = value;
            _slot = LeaseSlot.Take(first, out _turn);
            _degraded = status == Native.Status.Degraded;
        }
    }

    /// <summary>Whether there was a live entry. Everything else here throws when not.</summary>
    public bool Found => _slot is not null;

    /// <summary>The bytes, valid until <see cref="Dispose"/>; they are not copied and never change.</summary>
    /// <exception cref="InvalidOperationException">There is no entry.</exception>
    /// <exception cref="ObjectDisposedException">The lease was given back.</exception>
    public ReadOnlySpan<byte> Span
    {
        get
        {
            Native.Value* value = Live;
            return new((void*)value->Data, checked((int)value->Len));
        }
    }

    /// <summary>Of these bytes; pass it as the expected version to <c>TrySet</c>.</summary>
    /// <exception cref="InvalidOperationException">There is no entry.</exception>
    /// <exception cref="ObjectDisposedException">The lease was given back.</exception>
    public ulong Version => Live->Version;

    /// <summary>When it was written; null when the writer did not say.</summary>
    /// <exception cref="InvalidOperationException">There is no entry.</exception>
    /// <exception cref="ObjectDisposedException">The lease was given back.</exception>
    public DateTimeOffset? WrittenAt => Times.Moment(Live->WrittenAtMs);

    /// <summary>Its absolute end, or null. A sliding end is not counted.</summary>
    /// <exception cref="InvalidOperationException">There is no entry.</exception>
    /// <exception cref="ObjectDisposedException">The lease was given back.</exception>
    public DateTimeOffset? ExpiresAt => Times.Moment(Live->ExpiresAtMs);

    /// <summary>Which tier answered.</summary>
    /// <exception cref="InvalidOperationException">There is no entry.</exception>
    /// <exception cref="ObjectDisposedException">The lease was given back.</exception>
    public TokenCacheTier Tier => (TokenCacheTier)Live->Tier;

    /// <summary>Whether L2 could not be asked if this is still the newest.</summary>
    public bool IsDegraded => _degraded;

    /// <summary>Whether it is sealed under a retired key; store it again to move it to the active one.</summary>
    /// <exception cref="InvalidOperationException">There is no entry.</exception>
    /// <exception cref="ObjectDisposedException">The lease was given back.</exception>
    public bool IsRetiredKey => (Live->Flags & Native.ValueRetiredKey) != 0;

    private Native.Value* Live
    {
        get
        {
            if (_slot is null)
            {
                Throw.NoEntry();
            }
            Throw.IfDisposed(_slot.IsOver(_turn), nameof(TokenLease));
            return (Native.Value*)_value;
        }
    }

    /// <summary>A copy of the bytes.</summary>
    /// <returns>A new array, which nobody wipes.</returns>
    /// <exception cref="InvalidOperationException">There is no entry.</exception>
    /// <exception cref="ObjectDisposedException">The lease was given back.</exception>
    public byte[] ToArray() => Span.ToArray();

    /// <summary>The same entry as an object to keep, hand on and dispose of; the bytes are not copied.</summary>
    /// <returns>A value with a life of its own. It is one small allocation.</returns>
    /// <exception cref="InvalidOperationException">There is no entry.</exception>
    /// <exception cref="ObjectDisposedException">The lease was given back.</exception>
    public TokenValue ToValue() => new(Native.tc_value_retain((IntPtr)Live), _degraded);

    /// <summary>Gives the bytes back. Doing it again, here or on a copy, does nothing.</summary>
    public void Dispose() => _slot?.Release(_turn, _value);
}
