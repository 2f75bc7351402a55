"""The style sheet of the report page: plain, printable, no font or file from the network."""

PAGE_STYLE = """
:root{--ink:#1a1a1a;--quiet:#5a5a5a;--line:#d7d7d7;--accent:#0072B2;--warn:#D55E00}
*{box-sizing:border-box}
body{margin:0;color:var(--ink);background:#fff;font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
main{max-width:66rem;margin:0 auto;padding:2rem 1.5rem 4rem}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .2rem}
h2{font-size:1.25rem;margin:2.6rem 0 .6rem;padding-top:.6rem;border-top:1px solid var(--line)}
header p{margin:.2rem 0;color:var(--quiet)}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:1.2rem 0 0;font-size:.95rem}
a{color:var(--accent)}
nav a{text-decoration:none}nav a:hover{text-decoration:underline}
pre{background:#f5f5f5;padding:.8rem 1rem;overflow-x:auto;font-size:.88rem;line-height:1.45}
figure{margin:1rem 0;overflow-x:auto}
figure svg{max-width:100%;height:auto;display:block}
figcaption{color:var(--quiet);font-size:.9rem;margin-top:.3rem}
.side{display:flex;flex-wrap:wrap;gap:1rem 2.5rem;align-items:flex-start}
.side>*{margin:.4rem 0}
.side>figure{flex:0 1 27rem}
.tables td:first-child,.tables th:first-child{min-width:11rem}.tables th+th,.tables td+td{min-width:4.7rem}
.tables td.label{min-width:3rem}
.big{display:flex;flex-wrap:wrap;gap:.6rem 2.4rem;margin:1rem 0}
.big div{min-width:6.5rem}.big b{display:block;font-size:1.35rem;font-weight:600;font-variant-numeric:tabular-nums}
.big span{color:var(--quiet);font-size:.88rem}
.ok{color:#00704f}.bad{color:var(--warn)}
.warning{border-left:4px solid var(--warn);padding:.1rem .9rem;margin:.7rem 0;max-width:48rem}
.quiet{color:var(--quiet);max-width:48rem}
.tables{overflow-x:auto}
@media(max-width:40rem){main{padding:1.2rem .8rem}.tables .mlsem{font-size:11px}
.tables .mlsem td,.tables .mlsem th{padding:.12em .25em;white-space:nowrap}
.tables .mlsem .estimates td+td,.tables .mlsem .estimates th+th,.tables .mlsem td+td,.tables .mlsem th+th{min-width:0}
.tables .mlsem td:first-child,.tables .mlsem th:first-child{min-width:5em}}
@media print{nav{display:none}h2{break-after:avoid}figure,table{break-inside:avoid}}
"""
