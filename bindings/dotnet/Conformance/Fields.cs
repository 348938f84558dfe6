using System;
using System.Globalization;
using System.Linq;
using System.Text;

namespace Tokencache.Conformance;

/// <summary>Bytes as the script writes them.</summary>
internal static class Fields
{
    /// <summary>Bytes beyond which an answer shows a hash.</summary>
    private const int Many = 64;

    public static byte[] Decode(string field)
    {
        if (field == "-")
        {
            return [];
        }
        if (field.StartsWith("x:", StringComparison.Ordinal))
        {
            return Convert.FromHexString(field.AsSpan(2));
        }
        if (field.Split('*') is [string length, string pattern] && length.All(char.IsAsciiDigit) && length.Length > 0)
        {
            byte[] unit = Convert.FromHexString(pattern), bytes = new byte[Number(length)];
            for (int i = 0; i < bytes.Length; i++)
            {
                bytes[i] = unit[i % unit.Length];
            }
            return bytes;
        }
        return Encoding.UTF8.GetBytes(field);
    }

    /// <summary>Whether the field is its own characters.</summary>
    public static bool IsText(string field) => Decode(field).AsSpan().SequenceEqual(Encoding.UTF8.GetBytes(field));

    public static string Encode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
        {
            return "-";
        }
        if (bytes.Length <= Many)
        {
            return "x:" + Convert.ToHexStringLower(bytes);
        }
        ulong hash = 0xcbf29ce484222325;
        foreach (byte it in bytes)
        {
            hash = unchecked((hash ^ it) * 0x100000001b3);
        }
        return string.Create(CultureInfo.InvariantCulture, $"{bytes.Length}#{hash:x16}");
    }

    public static int Number(string field) => int.Parse(field, CultureInfo.InvariantCulture);

    public static TimeSpan Milliseconds(string field) =>
        TimeSpan.FromMilliseconds(long.Parse(field, CultureInfo.InvariantCulture));
}
