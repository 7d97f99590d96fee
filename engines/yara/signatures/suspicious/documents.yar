/* Documents that start something when they are opened. */

rule PDF_Launch_Action
{
    meta:
        description = "A PDF with an action that starts a program"
    strings:
        $launch = /\/S\s{0,8}\/Launch[\s\/>]/
    condition:
        uint32be(0) == 0x25504446 and $launch
}

rule RTF_Embedded_Equation
{
    meta:
        description = "An RTF with an embedded Equation Editor object, as exploits of CVE-2017-11882 have it"
    strings:
        $class = "Equation.3" nocase
        $class_hex = "4571756174696f6e2e33" nocase
        $object = /\\obj(data|update|emb|ocx)/
    condition:
        uint32be(0) == 0x7b5c7274 and $object and any of ($class*)
}

rule Office_Macro_Runs_Program
{
    meta:
        description = "An OLE document with macros whose readable parts name an event and a way to run programs"
    strings:
        $project = "_VBA_PROJECT" wide
        $auto = /(Auto_?Open|Document_Open|Workbook_Open|Auto_?Exec)/ nocase
        $run = /(WScript\.Shell|Shell\.Application|URLDownloadToFile|powershell)/ nocase
    condition:
        uint32be(0) == 0xd0cf11e0 and all of them
}
