using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Configuration;

namespace Tokencache.Extensions.Caching;

/// <summary>A section of an <see cref="IConfiguration"/>, whose leaves are text, as the JSON document of the library.</summary>
/// <remarks>
/// The types come from the schema of the document, which is generated from the library's own table of members. A
/// member is found whatever its case and with or without its underscores, so that <c>KeyPrefix</c> is
/// <c>key_prefix</c>.
/// </remarks>
internal static class ConfigurationDocument
{
    private static readonly Lazy<JsonElement> s_schema = new(ReadSchema);

    /// <exception cref="InvalidOperationException">The section is empty, or does not fit; the message has the path.</exception>
    public static string From(IConfigurationSection section)
    {
        if (!section.GetChildren().Any())
        {
            throw new InvalidOperationException(
                $"The configuration section \"{section.Path}\" is missing or empty; give it at least \"version\": 1.");
        }
        using MemoryStream json = new();
        using (Utf8JsonWriter writer = new(json))
        {
            Object(writer, section, s_schema.Value);
        }
        return Encoding.UTF8.GetString(json.ToArray());
    }

    private static JsonElement ReadSchema()
    {
        using Stream resource = typeof(ConfigurationDocument).Assembly.GetManifestResourceStream("config.schema.json")!;
        using JsonDocument document = JsonDocument.Parse(resource);
        return document.RootElement.Clone();
    }

    private static void Object(Utf8JsonWriter writer, IConfigurationSection section, JsonElement schema)
    {
        writer.WriteStartObject();
        bool isTyped = schema.TryGetProperty("properties", out JsonElement members);
        foreach (IConfigurationSection child in section.GetChildren())
        {
            if (!isTyped)
            {
                writer.WritePropertyName(child.Key);
                Guess(writer, child);
                continue;
            }
            if (child.Value is null && !child.GetChildren().Any())
            {
                // A null: the member is left out.
                continue;
            }
            JsonProperty member = Member(child, members);
            writer.WritePropertyName(member.Name);
            Value(writer, child, member.Value);
        }
        writer.WriteEndObject();
    }

    private static JsonProperty Member(IConfigurationSection section, JsonElement members)
    {
        foreach (JsonProperty member in members.EnumerateObject())
        {
            if (string.Equals(Plain(member.Name), Plain(section.Key), StringComparison.OrdinalIgnoreCase))
            {
                return member;
            }
        }
        IEnumerable<string> names = members.EnumerateObject().Select(member => member.Name);
        throw new InvalidOperationException(
            $"\"{section.Path}\" is not a member of the configuration; there are {string.Join(", ", names)}.");
    }

    private static string Plain(string name) => string.Join(string.Empty, name.Split('_'));

    private static void Value(Utf8JsonWriter writer, IConfigurationSection section, JsonElement schema)
    {
        switch (Type(schema))
        {
            case "object":
                Object(writer, section, schema);
                break;
            case "array":
                writer.WriteStartArray();
                foreach (IConfigurationSection item in section.GetChildren().OrderBy(Position))
                {
                    Value(writer, item, schema.GetProperty("items"));
                }
                writer.WriteEndArray();
                break;
            case "integer" when long.TryParse(Leaf(section), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number):
                writer.WriteNumberValue(number);
                break;
            case "number" when decimal.TryParse(Leaf(section), NumberStyles.Float, CultureInfo.InvariantCulture, out decimal number):
                writer.WriteNumberValue(number);
                break;
            case "boolean" when bool.TryParse(Leaf(section), out bool flag):
                writer.WriteBooleanValue(flag);
                break;
            case "string":
                writer.WriteStringValue(Leaf(section));
                break;
            case string type:
                throw new InvalidOperationException(
                    $"\"{section.Path}\" is {(type == "integer" ? "an" : "a")} {type}; \"{section.Value}\" is none.");
        }
    }

    private static string Type(JsonElement schema) =>
        schema.TryGetProperty("type", out JsonElement type) ? type.GetString()! : "string";

    private static string Leaf(IConfigurationSection section) => section.GetChildren().Any()
        ? throw new InvalidOperationException($"\"{section.Path}\" has members of its own, where a value belongs.")
        : section.Value ?? string.Empty;

    private static int Position(IConfigurationSection item) =>
        int.TryParse(item.Key, NumberStyles.None, CultureInfo.InvariantCulture, out int position) ? position : int.MaxValue;

    /// <summary>What the schema leaves open, an inline key ring, by its looks: its one number is a small one.</summary>
    private static void Guess(Utf8JsonWriter writer, IConfigurationSection section)
    {
        IConfigurationSection[] children = [.. section.GetChildren()];
        if (children.Length == 0)
        {
            if (short.TryParse(section.Value, NumberStyles.None, CultureInfo.InvariantCulture, out short number))
            {
                writer.WriteNumberValue(number);
            }
            else
            {
                writer.WriteStringValue(section.Value);
            }
        }
        else if (children.All(child => Position(child) != int.MaxValue))
        {
            writer.WriteStartArray();
            foreach (IConfigurationSection item in children.OrderBy(Position))
            {
                Guess(writer, item);
            }
            writer.WriteEndArray();
        }
        else
        {
            writer.WriteStartObject();
            foreach (IConfigurationSection child in children)
            {
                writer.WritePropertyName(child.Key);
                Guess(writer, child);
            }
            writer.WriteEndObject();
        }
    }
}
