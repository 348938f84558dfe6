using System;
using System.Runtime.CompilerServices;

namespace Tokencache;

/// <summary>Where it stands whether a lease was given back; each thread has its own.</summary>
/// <remarks>
/// A lease is a struct, and a struct can be copied. That it must be released once is therefore kept here, and a lease
/// only says where: after the release its turn of its slot is over, for every copy alike. A ref struct cannot leave its
/// thread, so nothing here needs a lock. Hardly anybody holds two leases at once: a thread's first slot is a field, and
/// the others are a list behind it.
/// </remarks>
internal sealed class LeaseSlot
{
    [ThreadStatic]
    private static LeaseSlot? t_first;

    private readonly LeaseSlot? _first;
    private LeaseSlot? _free;

    /// <summary>Odd while there is a lease.</summary>
    private uint _turn;

    /// <param name="first">The thread's first, where this is another one.</param>
    private LeaseSlot(LeaseSlot? first) => _first = first;

    /// <summary>The thread's first, if it has had a lease before.</summary>
    public static LeaseSlot? First => t_first;

    /// <summary>Begins a turn of the thread's first slot, or of another one where that has a lease.</summary>
    public static LeaseSlot Take(LeaseSlot? first, out uint turn)
    {
        LeaseSlot slot = first is null || (first._turn & 1) != 0 ? Another() : first;
        turn = ++slot._turn;
        return slot;
    }

    /// <summary>Whether what was lent in this turn was released.</summary>
    public bool IsOver(uint turn) => _turn != turn;

    /// <summary>Drops the reference of this turn, unless it is over.</summary>
    /// <remarks>In a method of its own: out of a <c>finally</c>, which <c>using</c> is, the runtime calls nothing native in line.</remarks>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public void Release(uint turn, IntPtr value)
    {
        if (_turn == turn)
        {
            _turn++;
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
