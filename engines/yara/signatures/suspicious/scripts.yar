/* Scripts that fetch and run. The brackets in the expressions keep this file from matching itself. */

rule PowerShell_Download_Cradle
{
    meta:
        description = "PowerShell that runs what it downloads"
    strings:
        $run = /\b(I[E]X|Invoke[-]Expression)\b/ nocase ascii wide
        $get1 = /Net\.Web[C]lient/ nocase ascii wide
        $get2 = /\.Download[S]tring\s{0,8}\(/ nocase ascii wide
        $get3 = /Invoke-Web[R]equest[^\r\n]{1,200}https?:/ nocase ascii wide
        $hide1 = /-(w|window|windowstyle)\s{1,8}hid[d]en/ nocase ascii wide
        $hide2 = /-(ep|exec|executionpolicy)\s{1,8}by[p]ass/ nocase ascii wide
        $hide3 = /From[B]ase64String/ nocase ascii wide
    condition:
        filesize < 1MB and $run and (($get1 and $get2) or $get3) and (any of ($hide*) or filesize < 4KB)
}

rule PowerShell_Encoded_Command
{
    meta:
        description = "A command line that starts a hidden PowerShell with an encoded command"
    strings:
        $a = /power[s]hell(\.exe)?[^\r\n]{0,80}\s-(e|en|enc|enco[d]edcommand)\s{1,8}["']?[A-Za-z0-9+\/]{64}/ nocase ascii wide
    condition:
        filesize < 1MB and $a
}

rule Script_Drops_And_Runs
{
    meta:
        description = "A Windows script that downloads, saves and runs a file"
    strings:
        $http = /(MSXML2|Microsoft)\.(Server)?XML[H]TTP/ nocase ascii wide
        $save1 = /ADODB\.Str[e]am/ nocase ascii wide
        $save2 = /\.Save[T]oFile/ nocase ascii wide
        $run = /(WScript\.Sh[e]ll|Shell\.Appli[c]ation)/ nocase ascii wide
    condition:
        filesize < 1MB and uint16be(0) != 0x4d5a and all of them
}
