using System;
using System.Text;

namespace Tokencache;

/// <summary>The library's texts.</summary>
internal static unsafe class Text
{
    /// <summary>A copy of UTF-8 that ends with a NUL.</summary>
    public static string FromNul(IntPtr text)
    {
        byte* bytes = (byte*)text;
        int length = 0;
        while (bytes[length] != 0)
        {
            length++;
        }
        return From(bytes, length);
    }

    public static string From(byte* utf8, int length) =>
        length == 0 ? string.Empty : Encoding.UTF8.GetString(utf8, length);
}
