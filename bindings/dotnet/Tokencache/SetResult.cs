using System;

namespace Tokencache;

/// <summary>What a write answers: the version under which it was stored, and whether L2 has it.</summary>
public readonly struct SetResult : IEquatable<SetResult>
{
    internal SetResult(ulong version, Native.Status status)
    {
        Version = version;
        IsOwed = status == Native.Status.Degraded;
    }

    /// <summary>The version written; 0 when it had expired already, which removes the entry.</summary>
    public ulong Version { get; }

    /// <summary>
    /// Whether L2 did not take it: it is kept here, answers here, and is brought to L2 when L2 is back.
    /// </summary>
    public bool IsOwed { get; }

    /// <summary>The version written.</summary>
    /// <param name="result">What a write answered.</param>
    public static implicit operator ulong(SetResult result) => result.Version;

    /// <summary>The version written.</summary>
    /// <returns><see cref="Version"/>.</returns>
    public ulong ToUInt64() => Version;

    /// <inheritdoc/>
    public bool Equals(SetResult other) => Version == other.Version && IsOwed == other.IsOwed;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is SetResult other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => Version.GetHashCode();

    /// <inheritdoc/>
    public override string ToString() => IsOwed ? $"{Version} (owed)" : $"{Version}";

    /// <summary>Whether both say the same.</summary>
    /// <param name="left">One.</param>
    /// <param name="right">The other.</param>
    public static bool operator ==(SetResult left, SetResult right) => left.Equals(right);

    /// <summary>Whether they differ.</summary>
    /// <param name="left">One.</param>
    /// <param name="right">The other.</param>
    public static bool operator !=(SetResult left, SetResult right) => !left.Equals(right);
}
