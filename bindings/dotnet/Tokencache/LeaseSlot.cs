using System;
using System.Runtime.CompilerServices;

namespace Tokencache;

/// <summary>Where a lease that has not been given back keeps its value; each thread has its own.</summary>
/// <remarks>
/// A lease is a struct, and a struct can be copied. What must be released once is therefore kept here, and a lease only
/// says where: after the release the turn of its slot is over, for every copy alike. A ref struct cannot leave its
/// thread, so nothing here needs a lock. Hardly anybody holds two leases at once: a thread's first slot is a field, and
/// the others are a list behind it. A lease is two words this way, which are returned in registers.
/// </remarks>
internal sealed unsafe class LeaseSlot
{
    [ThreadStatic]
    private static LeaseSlot? t_first;

    private readonly LeaseSlot? _first;
    private LeaseSlot? _free;
    private IntPtr _value;
    private uint _turn;

    /// <param name="first">The thread's first, where this is another one.</param>
    private LeaseSlot(LeaseSlot? first) => _first = first;

    /// <summary>Takes over one reference to a value.</summary>
    /// <returns>The slot; <paramref name="turn"/> says how often it has been used before.</returns>
    public static LeaseSlot Take(IntPtr value, out uint turn)
    {
        LeaseSlot? slot = t_first;
        if (slot is null || slot._value != IntPtr.Zero)
        {
            slot = Another();
        }
        slot._value = value;
        turn = slot._turn;
        return slot;
    }

    /// <summary>The value, or null when this turn is over.</summary>
    public Native.Value* Value(uint turn) => _turn == turn ? (Native.Value*)_value : null;

    /// <summary>Drops the reference, unless this turn is over.</summary>
    /// <remarks>In a method of its own: out of a <c>finally</c>, which <c>using</c> is, the runtime calls nothing native in line.</remarks>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public void Release(uint turn)
    {
        if (_turn == turn)
        {
            IntPtr value = _value;
            _turn++;
            _value = IntPtr.Zero;
            if (_first is not null)
            {
                (_free, _first._free) = (_first._free, this);
            }
            Native.tc_value_release(value);
        }
    }

    private static LeaseSlot Another()
    {
        if (t_first is not { } first)
        {
            return t_first = new LeaseSlot(null);
        }
        if (first._free is not { } free)
        {
            return new LeaseSlot(first);
        }
        first._free = free._free;
        return free;
    }
}
