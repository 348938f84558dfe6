using System;
using System.IO;
using System.Text;
using Tokencache.Conformance;

// The conformance script through the .NET library. tests/conformance/README.md describes it.
if (args is not [string script, string document, _])
{
    Console.Error.WriteLine("usage: Tokencache.Conformance SCRIPT DOCUMENT_JSON BACKEND");
    return 2;
}
using StreamWriter answers = new(Console.OpenStandardOutput(), new UTF8Encoding(false)) { NewLine = "\n" };
int number = 0;
try
{
    using Runner runner = new(document);
    foreach (string line in File.ReadLines(script))
    {
        number++;
        if (line is not ([] or ['#' or '=' or '@', ..]))
        {
            answers.WriteLine(runner.Answer(line.Split(' ')));
        }
    }
    runner.Close();
    return 0;
}
catch (Exception reason)
{
    answers.Flush();
    Console.Error.WriteLine($"line {number}: {reason}");
    return 1;
}
