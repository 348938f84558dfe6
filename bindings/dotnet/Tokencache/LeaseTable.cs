using System;

namespace Tokencache;

/// <summary>The leases of one thread that have not been given back.</summary>
/// <remarks>
/// A lease is a struct, and a struct can be copied. What must be released once is therefore kept here, and a lease only
/// says where: after the release the turn of its slot is over, for every copy alike. A ref struct cannot leave its
/// thread, so nothing here needs a lock.
/// </remarks>
internal sealed class LeaseTable
{
    private const int None = -1;

    [ThreadStatic]
    private static LeaseTable? t_mine;

    private Slot[] _slots = new Slot[4];
    private int _used;
    private int _free = None;

    public static LeaseTable Mine => t_mine ??= new LeaseTable();

    /// <summary>Takes over one reference to a value.</summary>
    /// <returns>The slot; <paramref name="turn"/> says how often it has been used before.</returns>
    public int Add(IntPtr value, out uint turn)
    {
        int slot = _free;
        if (slot == None)
        {
            slot = _used++;
            if (slot == _slots.Length)
            {
                Array.Resize(ref _slots, slot * 2);
            }
        }
        else
        {
            _free = _slots[slot].Next;
        }
        _slots[slot].Value = value;
        turn = _slots[slot].Turn;
        return slot;
    }

    /// <summary>Whether this turn of the slot is not over.</summary>
    public bool Holds(int slot, uint turn) => _slots[slot].Turn == turn;

    /// <summary>Drops the reference, unless this turn of the slot is over.</summary>
    public void Release(int slot, uint turn)
    {
        ref Slot it = ref _slots[slot];
        if (it.Turn == turn)
        {
            it.Turn++;
            it.Next = _free;
            _free = slot;
            Native.tc_value_release(it.Value);
        }
    }

    private struct Slot
    {
        public IntPtr Value;
        public uint Turn;
        public int Next;
    }
}
