using System;
using System.Buffers;
using System.Threading;

namespace Tokencache;

/// <summary>A value's bytes as memory. Every pin holds a reference to the bytes of its own.</summary>
internal sealed unsafe class ValueMemory : MemoryManager<byte>
{
    private readonly TokenValue _value;
    private IntPtr _pinned;
    private int _pins;

    public ValueMemory(TokenValue value) => _value = value;

    // Read-only: it is handed out as ReadOnlyMemory alone.
    public override Span<byte> GetSpan()
    {
        ReadOnlySpan<byte> bytes = _value.Span;
        fixed (byte* at = bytes)
        {
            return new Span<byte>(at, bytes.Length);
        }
    }

    public override MemoryHandle Pin(int elementIndex = 0)
    {
        if ((uint)elementIndex > (uint)_value.Length)
        {
            throw new ArgumentOutOfRangeException(nameof(elementIndex));
        }
        IntPtr value = _value.Retain();
        Volatile.Write(ref _pinned, value);
        Interlocked.Increment(ref _pins);
        byte* data = (byte*)((Native.Value*)value)->Data;
        return new MemoryHandle(data + elementIndex, default, this);
    }

    public override void Unpin()
    {
        if (Interlocked.Decrement(ref _pins) >= 0)
        {
            Native.tc_value_release(Volatile.Read(ref _pinned));
        }
        else
        {
            Interlocked.Increment(ref _pins);
        }
    }

    protected override void Dispose(bool disposing)
    {
        // The value owns the bytes.
    }
}
