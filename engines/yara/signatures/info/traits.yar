/* What a file has, good or bad: these rules describe and never judge. */
import "pe"

rule PE_UPX_Sections
{
    meta:
        description = "A Windows program whose sections are named as UPX names them"
    condition:
        pe.number_of_sections > 1 and
        for any i in (0..pe.number_of_sections - 1) : (pe.sections[i].name startswith "UPX")
}

rule ELF_UPX
{
    meta:
        description = "A Linux program packed with UPX"
    strings:
        $mark = "UPX!"
    condition:
        uint32be(0) == 0x7f454c46 and $mark in (0..1024)
}

rule PDF_JavaScript
{
    meta:
        description = "A PDF with JavaScript"
    strings:
        $js = /\/(JS|JavaScript)[\s\/(<]/
    condition:
        uint32be(0) == 0x25504446 and $js
}

rule PDF_Embedded_File
{
    meta:
        description = "A PDF that carries other files"
    strings:
        $file = /\/EmbeddedFiles?[\s\/<]/
    condition:
        uint32be(0) == 0x25504446 and $file
}

rule Office_Macros
{
    meta:
        description = "An OLE document with a macro project"
    strings:
        $project = "_VBA_PROJECT" wide
    condition:
        uint32be(0) == 0xd0cf11e0 and $project
}
